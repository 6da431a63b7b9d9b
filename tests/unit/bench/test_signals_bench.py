"""`suho bench signals`: what would be wrong in silence."""

import pytest
from suho.trading.v1 import order_pb2

from bench.signals.agent import Lanes
from bench.signals.shots import PARTS, parts, to_the_terminal

_WAY = [PARTS[0][0], *(end for _, end, _ in PARTS)]


def order(*took_ms: int) -> order_pb2.Order:
    """One whose parts took so long."""
    made, at = order_pb2.Order(), 1_700_000_000_000_000_000
    for name, ms in zip(_WAY, (0, *took_ms), strict=True):
        at += ms * 1_000_000
        setattr(made.times, name, at)
    return made


def test_the_parts_are_the_way_without_a_gap() -> None:
    """Each begins where the one before it ends; from commit to call is the sum of those between."""
    assert [start for start, _, _ in PARTS[1:]] == [end for _, end, _ in PARTS[:-1]]
    one = order(*range(1, len(PARTS) + 1))
    found = parts([one])
    assert [found[name].p50 for _, _, name in PARTS] == pytest.approx(range(1, len(PARTS) + 1))
    names = [start for start, _, _ in PARTS]
    between = range(names.index("committed_unix_ns"), names.index("called_unix_ns"))
    assert to_the_terminal([one]).p50 == pytest.approx(sum(at + 1 for at in between))


def test_the_tail_is_seen() -> None:
    """One in a hundred that waits is in p99, not in p50."""
    spread = to_the_terminal([*(order(0, 1, 0, 0, 0, 0, 0, 0, 0) for _ in range(98)), *[order(0, 90, *[0] * 7)] * 2])
    assert spread.p50 == pytest.approx(1)
    assert spread.p99 > 80


@pytest.mark.parametrize("shared", [False, True])
async def test_signals_share_the_first_tick_lane_only_when_told_to(shared: bool) -> None:
    """Five connections, or four."""
    lanes = Lanes("127.0.0.1:1", shared)
    async with (
        lanes.dial("agent-records"),
        lanes.dial("agent-signals") as signals,
        lanes.dial("agent-ticks") as first,
        lanes.dial("agent-ticks") as second,
    ):
        assert (first is signals) is shared
        assert second is not signals
