"""Days, hours, and what of them is settled."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.market import TickId
from services.data_bridge.domain.audit import DAY_MSC, HOUR_MSC, days, settled, spans

DAY = 20_000 * DAY_MSC


@given(st.integers(0, 50), st.integers(0, 3 * 86_400), st.sampled_from([HOUR_MSC, 60_000, 7_000]))
def test_spans_cover_a_range_in_whole_buckets(start_s: int, length_s: int, bucket_ms: int) -> None:
    """Without gap or overlap; each is a multiple of its own bucket, of whole seconds."""
    begin, end = DAY + start_s * 1000, DAY + (start_s + length_s) * 1000
    reached = begin
    for span in spans(begin, end, bucket_ms):
        assert span.from_msc == reached
        assert (span.to_msc - span.from_msc) % span.bucket_ms == 0
        assert span.bucket_ms % 1000 == 0
        reached = span.to_msc
    assert reached == end
    assert len(spans(begin, end, bucket_ms)) <= 2


def test_days_are_whole() -> None:
    """Every day that has a part in the range, and no other."""
    assert list(days(DAY, DAY + 1)) == [DAY]
    assert list(days(DAY + 5, DAY + DAY_MSC)) == [DAY]
    assert list(days(DAY - 1, DAY + DAY_MSC + 1)) == [DAY - DAY_MSC, DAY, DAY + DAY_MSC]


@pytest.mark.parametrize(
    ("durable", "terminal", "quiet", "until"),
    [
        (10_500, 10_500, False, 10_000),  # more may come in that second
        (10_500, 10_500, True, 11_000),
        (10_500, 12_700, True, 10_000),  # the terminal has more: it is on its way
        (12_700, 10_500, True, 10_000),  # this terminal lags behind what is stored: it proves nothing of that
    ],
)
def test_only_what_no_longer_moves_is_settled(durable: int, terminal: int, quiet: bool, until: int) -> None:
    """Up to the second of the older of both ends; with it when it is over."""
    assert settled(TickId(durable, 0), TickId(terminal, 0), quiet) == until
