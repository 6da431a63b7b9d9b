"""How the log is cut into inserts, and how it is compared with what is stored."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.market import BEFORE_FIRST, Batch, TickId
from services.database.domain.log import (
    Identity,
    LogMismatchError,
    Marker,
    MarkerRange,
    Message,
    Position,
    TickRange,
    Ticks,
    ranges,
    sound,
    verify_identity,
    verify_start,
)

MAY_2014 = 1_398_902_400_000
JUNE_2014 = 1_401_580_800_000


def ticks(seq: int, *time_msc: int) -> Ticks:
    zeros = np.zeros(len(time_msc))
    batch = Batch(
        server="Demo",
        symbol="EURUSD",
        agent="pc",
        read_unix_ns=1,
        prev=BEFORE_FIRST,
        time_msc=np.array(time_msc, np.int64),
        ordinal=zeros.astype(np.uint32),
        bid=zeros,
        ask=zeros,
        last=zeros,
        volume_real=zeros,
        volume=zeros.astype(np.uint64),
        flags=zeros.astype(np.uint32),
    )
    return Ticks(seq, batch)


def marker(seq: int) -> Marker:
    return Marker(seq, "Demo", "EURUSD", "pc", 1, BEFORE_FIRST, TickId(MAY_2014, 0), 3, "NON_FINITE_PRICE")


def test_messages_of_one_month_are_one_insert() -> None:
    """Neither symbols nor batches cut a range; rows and position are those of all its messages."""
    spans = list(ranges([ticks(4, MAY_2014, MAY_2014 + 1), ticks(5, MAY_2014 + 2)]))
    assert [(type(span), span.rows, span.last_seq) for span in spans] == [(TickRange, 3, 5)]


def test_a_month_change_cuts() -> None:
    """The last millisecond of May and the first of June stand in two inserts."""
    spans = list(ranges([ticks(1, MAY_2014), ticks(2, JUNE_2014 - 1), ticks(3, JUNE_2014)]))
    assert [span.last_seq for span in spans] == [2, 3]


def test_markers_cut() -> None:
    """Markers go to their own table, in the log's order with the ticks around them."""
    spans = list(ranges([ticks(1, MAY_2014), marker(2), marker(3), ticks(4, MAY_2014)]))
    assert [(type(span), span.rows, span.last_seq) for span in spans] == [
        (TickRange, 1, 1),
        (MarkerRange, 2, 3),
        (TickRange, 1, 4),
    ]


@given(st.lists(st.sampled_from(["may", "june", "marker"]), max_size=30))
def test_ranges_hold_every_message_once_in_order(kinds: list[str]) -> None:
    """Whatever the order of months and markers, nothing is left out, doubled or moved, and neighbours differ."""
    make: dict[str, Callable[[int], Message]] = {
        "may": lambda seq: ticks(seq, MAY_2014),
        "june": lambda seq: ticks(seq, JUNE_2014),
        "marker": marker,
    }
    messages: list[Message] = [make[kind](seq) for seq, kind in enumerate(kinds, start=1)]
    spans = list(ranges(messages))
    assert [message.seq for span in spans for message in span.messages] == [message.seq for message in messages]
    assert len(spans) == sum(one != other for one, other in pairwise(kinds)) + bool(kinds)


def test_a_batch_across_months_becomes_a_marker() -> None:
    """No single insert can hold it, so it is counted as refused instead of stopping the sink."""
    refused = sound(ticks(7, JUNE_2014 - 1, JUNE_2014))
    assert isinstance(refused, Marker)
    assert (refused.seq, refused.count, refused.reason, refused.last) == (7, 2, "SPANS_MONTHS", TickId(JUNE_2014, 0))


def test_a_batch_within_a_month_stays() -> None:
    """A sound batch passes unchanged."""
    message = ticks(7, MAY_2014, JUNE_2014 - 1)
    assert sound(message) is message


@pytest.mark.parametrize(
    ("seq", "first", "last", "comparable"),
    [
        pytest.param(0, 1, 0, False, id="nothing in either"),
        pytest.param(0, 1, 9, False, id="nothing stored"),
        pytest.param(5, 1, 9, True, id="within the log"),
        pytest.param(9, 9, 9, True, id="all stored"),
        pytest.param(9, 10, 20, False, id="purged up to the position"),
        pytest.param(9, 10, 9, False, id="all purged"),
    ],
)
def test_a_fitting_log_is_followed(seq: int, first: int, last: int, comparable: bool) -> None:
    """The message at the position is compared when the log still holds it."""
    assert verify_start(Position(1, seq), first, last) is comparable


def test_a_log_shorter_than_the_position_is_refused() -> None:
    """A truncated or restored log would hand out the same numbers again."""
    with pytest.raises(LogMismatchError, match="ends at message 4, but ClickHouse holds up to 5"):
        verify_start(Position(1, 5), 1, 4)


def test_a_log_that_forgot_unstored_messages_is_refused() -> None:
    """A hole between the position and the log's beginning is a loss, and said."""
    with pytest.raises(LogMismatchError, match="messages 6 to 7 left the log"):
        verify_start(Position(1, 5), 8, 20)


def test_another_message_at_the_position_is_refused() -> None:
    """The numbers are the same, the tick is not: the log is another one."""
    stored = Identity("Demo", "EURUSD", TickId(1000, 0))
    verify_identity(Position(1, 5), stored, stored)
    with pytest.raises(LogMismatchError, match=r"message 5 .* 1000/1, but ClickHouse holds .* 1000/0"):
        verify_identity(Position(1, 5), Identity("Demo", "EURUSD", TickId(1000, 1)), stored)
