"""Until when an order may be sent."""

from collections.abc import Callable
from itertools import count

import pytest

from pc_agent.domain.server_clock import Lease, ServerClock
from pc_agent.orders.permission import Permission
from tests.unit.pc_agent.executing import Terminal, signal

_MS = 1_000_000
# What the engine's clock shows when the PC's, since its start, shows 0.
_AHEAD_NS = 1_800_000_000_000 * _MS


@pytest.fixture
def permission() -> Permission:
    """The engine's clock was measured by a round trip of 10 ms, in which the engine read it at once."""
    clock = ServerClock()
    clock.measure(0, 10 * _MS, _AHEAD_NS)
    return Permission(Terminal(), clock, Lease(), lambda: True)


def _read(monkeypatch: pytest.MonkeyPatch, boot_ns: Callable[[], int]) -> None:
    monkeypatch.setattr("pc_agent.orders.permission.boot_ns", boot_ns)


def test_a_signal_is_late_as_soon_as_the_engine_may_call_it_so(
    permission: Permission, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However much sooner that is than by the middle of the round trip."""
    asked = signal("s", not_after_unix_ms=1_800_000_000_100)
    _read(monkeypatch, lambda: 100 * _MS - 1)
    assert not permission.is_late(asked)
    _read(monkeypatch, lambda: 100 * _MS)
    assert permission.is_late(asked)


def test_an_expiry_is_not_put_off_by_who_takes_the_processor_meanwhile(
    permission: Permission, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between any two looks at a clock a second may go by."""
    _read(monkeypatch, count(step=1_000 * _MS).__next__)
    assert permission.expires_ns(signal("s", not_after_unix_ms=1_800_000_005_000)) <= 5_000 * _MS
