"""Audits that nobody asks for."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, time

import pytest

import services.data_bridge.audit_triggers
from mesh.errors import MeshError
from mesh.market import TickId
from services.data_bridge.audit_triggers import AuditTriggers, until_next
from services.data_bridge.domain.audit import DAY_MSC, HOUR_MSC, State
from services.data_bridge.domain.terminal import HistoryChange
from tests.support import eventually
from tests.unit.services.data_bridge.audit_world import DAY, KEY, World, changed, ticks_of, without

TICKS = ticks_of([0, 23])


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services.data_bridge.audit_triggers, "_LOOK_S", 0.001)


async def running(triggers: AuditTriggers, until: Callable[[], bool | Awaitable[bool]]) -> None:
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(triggers.run())
        await eventually(until, interval_s=0.001)
        task.cancel()


def idle(world: World) -> bool:
    try:
        with world.auditor.claim(KEY):
            return True
    except MeshError:
        return False


@pytest.mark.parametrize(
    ("now", "seconds"),
    [("00:29:59", 1), ("00:30:00", 86_400), ("00:30:01", 86_399), ("23:30:00", 3_600)],
)
def test_the_night_comes_once_a_day(now: str, seconds: float) -> None:
    """At the set time, UTC; when it is that time now, tomorrow."""
    moment = datetime.combine(datetime(2026, 3, 2).date(), time.fromisoformat(now), UTC)  # noqa: DTZ001
    assert until_next(time(0, 30), moment) == seconds


async def test_every_night_the_days_before_are_healed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the symbols that agents stream through this bridge, and of no other."""
    monkeypatch.setattr(services.data_bridge.audit_triggers, "until_next", lambda *_: 0.001)
    monkeypatch.setattr(services.data_bridge.audit_triggers, "unix_ms", lambda: DAY + DAY_MSC + HOUR_MSC)
    world = World(TICKS, [without(TICKS, 3)])
    await running(
        AuditTriggers(world.auditor, world.alerts, lambda: [KEY], time(0, 30)), lambda: bool(world.alerts.reported)
    )
    assert world.alerts.reported[0][0] == "AUDIT_HEALED"
    assert (await world.auditor.day(KEY, DAY, heal=False)).state is State.MATCHES


async def test_a_changed_history_is_followed_back_while_days_differ() -> None:
    """The day of the change, the one before it that differs, and no further than the first that matches."""
    before = ticks_of([-24])
    older = ticks_of([-72])
    world = World(older, [changed(older, 0)])
    terminal = without(TICKS, 3)
    everything = [changed(older, 0), changed(before, 0), TICKS]
    world.database.rows = everything
    world.terminal.ticks_ = type(terminal).join([older, before, terminal])
    triggers = AuditTriggers(world.auditor, world.alerts, list, None)
    triggers.changed("pc-1", HistoryChange(KEY, TickId(DAY + 5, 0), 0.0, 0.0))
    await running(triggers, lambda: len(world.alerts.reported) >= 3 and idle(world))
    kinds = [(kind, (from_msc - DAY) // DAY_MSC) for kind, from_msc, _ in world.alerts.reported]
    assert kinds == [("HISTORY_CHANGED", 0), ("AUDIT_HEALED", 0), ("AUDIT_HEALED", -1)]
    assert (await world.auditor.day(KEY, DAY - 3 * DAY_MSC, heal=False)).state is State.DIFFERS


async def test_the_changed_tick_is_waited_for() -> None:
    """While its second still runs nothing is compared; then it is healed."""
    world = World(changed(TICKS, 0), [TICKS])
    world.log.newest_tick = TICKS.first_id
    triggers = AuditTriggers(world.auditor, world.alerts, list, None)
    triggers.changed("pc-1", HistoryChange(KEY, TICKS.first_id, 1.0, 9.0))
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(triggers.run())
        await eventually(lambda: world.alerts.reported)
        assert not world.database.corrections
        world.log.newest_tick = TickId(DAY + DAY_MSC, 0)
        await eventually(lambda: world.database.corrections)
        task.cancel()
