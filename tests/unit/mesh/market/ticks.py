"""Made-up batches for properties."""

from typing import Any

import numpy as np
from hypothesis import strategies as st

from mesh.market import Batch, TickId
from mesh.market.batch import ordinals

# Around the turn of a month, so that some batches span it.
NEW_MONTH_MSC = 1_772_323_200_000


@st.composite
def batches(draw: st.DrawFn, most: int = 60) -> Batch:
    """An ascending batch whose times repeat often, with any values in its columns."""
    count = draw(st.integers(1, most))
    steps = draw(st.lists(st.sampled_from([0, 0, 1, 2, 86_400_000]), min_size=count, max_size=count))
    start = NEW_MONTH_MSC + draw(st.integers(-3, 3))
    time_msc = start + np.cumsum(steps)
    doubles = _column(np.float64, count).map(_without_negative_zero)
    zeros_or_any = st.one_of(st.just(np.zeros(count)), doubles)
    return Batch(
        server=draw(st.text(min_size=1, max_size=5).filter(_encodable)),
        symbol="EURUSD",
        agent="pc-1",
        read_unix_ns=draw(st.integers(0, 2**62)),
        prev=TickId(int(time_msc[0]) - 1, draw(st.integers(0, 5))),
        time_msc=time_msc,
        ordinal=ordinals(time_msc),
        bid=draw(zeros_or_any),
        ask=draw(zeros_or_any),
        last=draw(zeros_or_any),
        volume_real=draw(zeros_or_any),
        volume=draw(_column(np.uint64, count)),
        flags=draw(_column(np.uint32, count)),
    )


def _column(dtype: Any, count: int) -> st.SearchStrategy[Any]:
    size = np.dtype(dtype).itemsize * count
    return st.binary(min_size=size, max_size=size).map(lambda data: np.frombuffer(data, dtype))


def _without_negative_zero(column: Any) -> Any:
    """An absent column can not say -0.0. Chosen, not added to: adding would complain of a signalling NaN."""
    return np.where(column == 0, 0.0, column)


def _encodable(text: str) -> bool:
    return all(not "\ud800" <= letter <= "\udfff" for letter in text)


def identities(*pieces: Batch) -> list[TickId]:
    return [piece.id_at(index) for piece in pieces for index in range(len(piece))]


def same(one: Batch, other: Batch) -> bool:
    """Equal in every field, bit by bit."""
    heads = [(b.server, b.symbol, b.agent, b.read_unix_ns, b.prev) for b in (one, other)]
    columns = zip(one.columns().values(), other.columns().values(), strict=True)
    return heads[0] == heads[1] and all(a.tobytes() == b.tobytes() for a, b in columns)
