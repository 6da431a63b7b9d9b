"""How a log is cut into inserts."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mesh.market import BEFORE_FIRST, Batch, TickId
from services.database.domain.log import (
    Correction,
    CorrectionRange,
    Marker,
    MarkerRange,
    Message,
    TickRange,
    Ticks,
    following_on,
    ranges,
    sound,
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


def correction(seq: int) -> Correction:
    return Correction(seq, "Demo", "EURUSD", 1, MAY_2014, JUNE_2014, 2, "audit")


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


def test_corrections_cut() -> None:
    """A correction is stored only after all that stands before it in the log."""
    spans = list(ranges([ticks(1, MAY_2014), correction(2), ticks(3, MAY_2014)]))
    assert [(type(span), span.last_seq) for span in spans] == [(TickRange, 1), (CorrectionRange, 2), (TickRange, 3)]


def test_what_follows_on_ends_at_the_first_gap() -> None:
    """Nothing behind a missing message is stored before the gap is explained."""
    messages = [ticks(4, MAY_2014), ticks(5, MAY_2014), ticks(7, MAY_2014)]
    assert [message.seq for message in following_on(3, messages)] == [4, 5]
    assert not following_on(4, messages)


def test_an_insert_holds_no_more_than_fits() -> None:
    """Messages of a few ticks are cut by their number, large ones by their rows; none is lost."""
    small = [ticks(seq, MAY_2014) for seq in range(1, 4502)]
    assert [span.last_seq for span in ranges(small)] == [2000, 4000, 4501]
    large = [ticks(seq, *range(MAY_2014, MAY_2014 + 400_000)) for seq in range(1, 6)]
    assert [span.rows for span in ranges(large)] == [1_200_000, 800_000]


@given(st.lists(st.sampled_from(["may", "june", "marker", "correction"]), max_size=30))
def test_ranges_hold_every_message_once_in_order(kinds: list[str]) -> None:
    """Whatever the order of months and markers, nothing is left out, doubled or moved, and neighbours differ."""
    make: dict[str, Callable[[int], Message]] = {
        "may": lambda seq: ticks(seq, MAY_2014),
        "june": lambda seq: ticks(seq, JUNE_2014),
        "marker": marker,
        "correction": correction,
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
