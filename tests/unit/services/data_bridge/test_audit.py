"""Audits of one day: what is found, what heals it, what is left alone."""

from dataclasses import replace

import numpy as np
import pytest

import services.data_bridge.audit
from mesh.errors import MeshError, Reason
from mesh.market import BEFORE_FIRST, Batch, TickId
from services.data_bridge.domain.audit import DAY_MSC, HOUR_MSC, State
from tests.unit.services.data_bridge.audit_world import DAY, KEY, Told, World, changed, ticks_of, without

TICKS = ticks_of(range(0, 24, 6))


async def test_equal_ticks_match() -> None:
    """Every stage says how many it has; nobody is alerted."""
    world = World(TICKS, [TICKS])
    finding = await world.auditor.day(KEY, DAY, heal=True)
    assert (finding.state, finding.differing) == (State.MATCHES, ())
    assert (finding.terminal_ticks, finding.log_ticks, finding.stored_ticks) == (480, 11, 480)
    assert (finding.from_msc, finding.to_msc) == (DAY, DAY + DAY_MSC)
    assert not world.alerts.reported


async def test_an_empty_day_matches() -> None:
    """Nowhere a tick."""
    finding = await World(None, []).auditor.day(KEY, DAY, heal=True)
    assert (finding.state, finding.terminal_ticks, finding.stored_ticks) == (State.MATCHES, 0, 0)


async def test_what_differs_is_only_told_unless_it_is_to_be_healed() -> None:
    """The hours that differ, with what the terminal has of them."""
    world = World(TICKS, [without(TICKS, 0, 130)])
    finding = await world.auditor.day(KEY, DAY, heal=False)
    assert finding.state is State.DIFFERS
    assert [(item.from_msc - DAY, item.count) for item in finding.differing] == [(0, 120), (6 * HOUR_MSC, 120)]
    assert len(world.database.rows) == 1
    assert world.alerts.reported == [("AUDIT_DIFFERS", DAY, DAY + 7 * HOUR_MSC)]


async def test_missing_ticks_are_added() -> None:
    """Only they; what is stored stays as it is."""
    world = World(TICKS, [without(TICKS, 0, 130, 131)])
    finding = await world.auditor.day(KEY, DAY, heal=True)
    assert (finding.state, finding.healed_ticks, finding.generation) == (State.HEALED, 3, 0)
    assert (finding.terminal_ticks, finding.stored_ticks) == (480, 480)
    assert sum(map(len, world.database.rows)) == 480
    assert world.alerts.reported == [("AUDIT_HEALED", DAY, DAY + 7 * HOUR_MSC)]


@pytest.mark.parametrize(
    "terminal",
    [
        pytest.param(changed(TICKS, 130), id="a changed value"),
        pytest.param(without(TICKS, 130), id="a tick that the broker removed"),
        pytest.param(without(changed(TICKS, 140), 130), id="both"),
    ],
)
async def test_a_history_that_changed_is_told_anew(terminal: Batch) -> None:
    """The hour alone, as a new generation; and when it changes back, that is healed too."""
    world = World(terminal, [TICKS])
    finding = await world.auditor.day(KEY, DAY, heal=True)
    hour = (DAY + 6 * HOUR_MSC, DAY + 7 * HOUR_MSC)
    assert (finding.state, finding.generation) == (State.CORRECTED, 1)
    assert world.database.corrections == [Told(1, *hour)]
    assert finding.stored_ticks == len(terminal)
    world.terminal.ticks_ = TICKS
    assert (await world.auditor.day(KEY, DAY, heal=True)).stored_ticks == 480
    assert (await world.auditor.day(KEY, DAY, heal=True)).state is State.MATCHES


async def test_an_hour_that_the_broker_emptied_is_told_anew_without_ticks() -> None:
    """A correction of nothing."""
    world = World(without(TICKS, *range(120, 240)), [TICKS])
    finding = await world.auditor.day(KEY, DAY, heal=True)
    assert (finding.state, finding.healed_ticks) == (State.CORRECTED, 0)
    assert world.database.corrections == [Told(1, DAY + 6 * HOUR_MSC, DAY + 7 * HOUR_MSC)]
    assert finding.stored_ticks == 360


@pytest.mark.parametrize("begins", [60, 240, None], ids=["within an hour", "within the day", "later"])
async def test_what_lies_before_all_that_the_terminal_has_stays_stored(begins: int | None) -> None:
    """Brokers keep ticks for a while only: a history that begins later proves nothing of what was before."""
    world = World(ticks_of([30]) if begins is None else TICKS.slice(begins, 480), [without(TICKS, 300)])
    finding = await world.auditor.day(KEY, DAY, heal=True)
    assert finding.state is State.DIFFERS
    assert "before all that the terminal has" in finding.detail
    assert not world.database.corrections
    assert finding.stored_ticks == (479 if begins is None else 480)  # what is missing is added nevertheless


async def test_ticks_missing_beside_a_correction_of_a_part_of_the_hour_are_healed_too() -> None:
    """Added with the correction's generation they would not show: then the hour is told anew."""
    half = DAY + 30_000
    stored = [without(TICKS, 119), replace(TICKS.slice(0, 60), generation=1)]
    world = World(TICKS, stored)
    world.database.corrections = [Told(1, DAY, half)]
    finding = await world.auditor.day(KEY, DAY, heal=True)
    assert finding.state is State.CORRECTED
    assert world.database.corrections[-1] == Told(2, DAY, DAY + HOUR_MSC)
    assert (await world.auditor.day(KEY, DAY, heal=False)).state is State.MATCHES


async def test_a_busy_hour_is_healed_by_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    """More ticks than are held at once are never asked for at once."""
    monkeypatch.setattr(services.data_bridge.audit, "_MOST_TICKS", 100)
    world = World(changed(TICKS, 7), [TICKS])
    finding = await world.auditor.day(KEY, DAY, heal=True)
    assert finding.state is State.CORRECTED
    assert world.database.corrections == [Told(1, DAY, DAY + 60_000)]


async def test_nothing_is_corrected_where_ticks_still_come() -> None:
    """The live second lies outside what is compared, so that a correction never hides a tick to come."""
    until = TICKS.id_at(100)
    world = World(changed(TICKS, 0), [TICKS])
    world.log.newest_tick = until
    finding = await world.auditor.day(KEY, DAY, heal=True)
    assert finding.terminal_ticks == finding.stored_ticks == 100
    assert world.database.corrections == [Told(1, DAY, until.time_msc)]


async def test_a_day_to_come_has_nothing_to_compare() -> None:
    """It matches, and says why."""
    world = World(TICKS, [TICKS])
    finding = await world.auditor.day(KEY, DAY + 5 * DAY_MSC, heal=True)
    assert (finding.state, finding.stored_ticks) == (State.MATCHES, 0)
    assert "older than this day" in finding.detail


async def test_a_day_that_only_the_store_has_is_unanswered() -> None:
    """A terminal whose history ends before it proves nothing of it."""
    world = World(TICKS, [TICKS])
    world.terminal.newest = TickId(DAY - 1, 0)
    finding = await world.auditor.day(KEY, DAY, heal=True)
    assert (finding.state, finding.stored_ticks) == (State.UNANSWERED, 480)
    assert not world.database.corrections
    world.terminal.newest = BEFORE_FIRST
    assert "shows no tick" in (await world.auditor.day(KEY, DAY, heal=True)).detail


async def test_ticks_that_can_not_be_stored_are_explained() -> None:
    """They are quarantined: the rest is healed, and they are told instead of healed night after night."""
    terminal = replace(TICKS, bid=np.where(np.isin(np.arange(480), (3, 200)), np.nan, TICKS.bid))
    world = World(terminal, [without(TICKS, 3, 200, 201)])
    finding = await world.auditor.day(KEY, DAY, heal=True)
    assert (finding.state, finding.healed_ticks) == (State.HEALED, 1)
    assert "2 ticks of the terminal can not be stored" in finding.detail
    again = await world.auditor.day(KEY, DAY, heal=True)
    assert (again.state, again.healed_ticks) == (State.MATCHES, 0)


async def test_a_terminal_without_its_broker_proves_nothing() -> None:
    """What its history lacks then is not taken for removed."""
    world = World(None, [TICKS])
    world.terminal.connected = False
    finding = await world.auditor.day(KEY, DAY, heal=True)
    assert finding.state is State.UNANSWERED
    assert "not connected" in finding.detail
    assert not world.database.corrections


async def test_an_answer_that_lost_a_part_corrects_nothing() -> None:
    """What was sent again must amount to the terminal's digest."""
    world = World(changed(TICKS, 7), [TICKS])
    world.terminal.lost = 5
    finding = await world.auditor.day(KEY, DAY, heal=True)
    assert finding.state is State.DIFFERS
    assert "still differ" in finding.detail
    assert not world.database.corrections


@pytest.mark.parametrize("questions", range(2, 9))
async def test_an_agent_that_goes_away_in_the_middle_leaves_nothing_half_told(questions: int) -> None:
    """The day is unanswered; the next audit ends what this one began."""
    world = World(changed(TICKS, 7), [without(TICKS, 130)])
    world.terminal.questions_left = questions
    finding = await world.auditor.day(KEY, DAY, heal=True)
    assert finding.state is State.UNANSWERED
    assert "went away" in finding.detail
    world.terminal.questions_left = 100
    assert (await world.auditor.day(KEY, DAY, heal=True)).state in (State.CORRECTED, State.HEALED)
    assert (await world.auditor.day(KEY, DAY, heal=True)).state is State.MATCHES


async def test_a_correction_that_was_never_closed_does_not_show_through() -> None:
    """A bridge died in the middle of it: what it left is replaced by the generation after."""
    orphan = replace(changed(TICKS.slice(0, 10), 4), generation=1)
    world = World(changed(TICKS, 7), [TICKS, orphan])
    finding = await world.auditor.day(KEY, DAY, heal=True)
    assert (finding.state, finding.generation) == (State.CORRECTED, 2)
    assert (await world.auditor.day(KEY, DAY, heal=False)).state is State.MATCHES


async def test_a_store_that_does_not_follow_is_told() -> None:
    """What was written is in the log; the day is not called healed before it is stored."""
    world = World(TICKS, [without(TICKS, 0)])
    world.database.takes = False
    finding = await world.auditor.day(KEY, DAY, heal=True)
    assert finding.state is State.UNANSWERED
    assert "behind" in finding.detail


async def test_a_symbol_is_audited_once_at_a_time() -> None:
    """The second is told that one runs; when it has ended there may be another."""
    auditor = World(TICKS, [TICKS]).auditor
    with auditor.claim(KEY):
        with pytest.raises(MeshError) as refused, auditor.claim(KEY):
            pass
        assert refused.value.reason is Reason.AUDIT_RUNNING
    with auditor.claim(KEY):
        pass


async def test_a_terminal_that_lags_behind_the_log_is_asked_only_for_what_it_has() -> None:
    """Another terminal brought what is newer: this one's lack of it proves nothing."""
    world = World(ticks_of([0]), [TICKS])
    world.terminal.newest = TickId(DAY + HOUR_MSC, 0)
    finding = await world.auditor.day(KEY, DAY, heal=True)
    assert (finding.state, finding.stored_ticks) == (State.MATCHES, 120)
