"""What the PC's store keeps, what it refuses, and what becomes of changes."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import duckdb
import pytest

from pc_agent.domain.observation import TerminalLook, seen
from pc_agent.domain.reference import Key, Kind, Preferences, Record, Theme, TradingAccount, account_id, key_of
from pc_agent.file_lock import LockedError
from pc_agent.store import journal
from pc_agent.store.duckdb_file import StoreMigrationError
from pc_agent.store.journal import Change, State
from pc_agent.store.preferences import LivePreferences
from pc_agent.store.settling import Outcome, Verdict
from pc_agent.store.store import Store, UnknownRecordError, open_store

USER = UUID(int=7)
PREFERENCES = Key(Kind.PREFERENCES, USER)
LOOK = TerminalLook(
    "C:/MT5/terminal64.exe", True, "twin-1", "Twin Ltd", 42, 0, "USD", 100, 1000.1, 999.9, 50, 512, ("EURUSD",), True
)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with open_store(tmp_path) as opened:
        yield opened


async def answer(store: Store, verdict: Verdict = Verdict.APPLIED) -> list[Change]:
    """As a database without anybody else would; what was sent."""
    sent = await store.to_send(100)
    outcomes = [Outcome(c.change_id, verdict, replace(c.record, version=c.record.version + 1)) for c in sent]
    await store.settle(outcomes, [], [])
    return sent


async def held(store: Store, key: Key = PREFERENCES) -> Record:
    return next(record for record in await store.held() if record.key == key)


async def states(store: Store) -> list[State]:
    """Oldest first."""
    return [change.state for change in reversed(await store.changes(100))]


async def test_what_is_written_is_there_for_the_next_agent(tmp_path: Path) -> None:
    """Records with exact money, preferences, and the changes that wait survive."""
    async with open_store(tmp_path) as first:
        await first.observe(seen("pc-1", LOOK), 1_000, "pc-1")
        await first.prefer(USER, {"trade_confirmation": True}, 2_000, "pc-1")
        before = await first.records()
    async with open_store(tmp_path) as second:
        assert await second.records() == before
        account = next(one.record.content for one in before if isinstance(one.record.content, TradingAccount))
        assert (account.balance, account.equity) == (Decimal("1000.1"), Decimal("999.9"))
        assert await second.preferences(USER) == Preferences(USER, trade_confirmation=True)
        assert len(await second.to_send(10)) == 4


async def test_what_was_committed_survives_a_kill(tmp_path: Path) -> None:
    """An agent that is killed in the middle leaves a file that opens, with all that it was told is written."""
    script = f"""
import asyncio, os, signal
from pathlib import Path
from typing import Any
from uuid import UUID
from pc_agent.store.store import open_store

async def main():
    async with open_store(Path({str(tmp_path)!r})) as store:
        for number in range(5):
            await store.prefer(UUID(int=7), {{"auto_close_trades": number % 2 == 0}}, number, "pc-1")
        os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""
    killed = await asyncio.to_thread(subprocess.run, [sys.executable, "-c", script], check=False)
    assert killed.returncode < 0
    async with open_store(tmp_path) as store:
        assert store.damaged is None
        assert (await held(store)).updated_unix_ms == 4


async def test_a_store_has_one_owner(store: Store, tmp_path: Path) -> None:
    """A second agent on the same folder is refused."""
    with pytest.raises(LockedError, match="held by another"):
        async with open_store(tmp_path):
            pass


async def test_a_store_that_can_not_be_read_makes_trades_wait_for_a_person(tmp_path: Path) -> None:
    """It is kept beside a new one; what the person wanted is not known, until he or the database says it."""
    (tmp_path / "store.duckdb").write_bytes(b"no database" * 1000)
    async with open_store(tmp_path) as store:
        assert store.damaged == tmp_path / "store.duckdb.damaged-1"
        assert store.damaged.read_bytes().startswith(b"no database")
        preferences = LivePreferences(store, USER, "pc-1")
        await preferences.begin()
        assert preferences.trade_confirmation
        assert await store.to_send(10) == []
        await store.settle([], [Record(Preferences(USER, theme=Theme.LIGHT), 3, False, 5, 5, "suho-cli")], [])
        await preferences.exchanged()
        assert preferences.now == Preferences(USER, theme=Theme.LIGHT)


@pytest.mark.parametrize("theirs", [None, Preferences(USER, language="fr")])
async def test_preferences_that_another_pc_may_have_set_are_waited_for(
    store: Store, theirs: Preferences | None
) -> None:
    """In a new or deleted store trades wait for the person's word until the database has answered, also that it has
    none; or until he says it here. An agent whose preferences are its own need not ask."""
    preferences = LivePreferences(store, USER, "pc-1", shared=True)
    await preferences.begin()
    assert preferences.trade_confirmation
    assert (await preferences.set({"auto_close_trades": True})).trade_confirmation
    again, own = LivePreferences(store, USER, "pc-1", shared=True), LivePreferences(store, USER, "pc-1")
    for one in (again, own):
        await one.begin()
    assert (again.trade_confirmation, own.trade_confirmation) == (True, False)
    assert not (await again.set({"trade_confirmation": False})).trade_confirmation
    await store.settle([], [Record(theirs, 3, False, 5, 5, "suho-cli")] if theirs else [], [])
    await preferences.exchanged()
    assert not preferences.trade_confirmation


async def test_preferences_that_the_database_told_are_known_after_a_restart(store: Store) -> None:
    """Nobody is asked though the mesh is away."""
    await store.settle([], [Record(Preferences(USER), 1, False, 5, 5, "suho-cli")], [])
    preferences = LivePreferences(store, USER, "pc-1", shared=True)
    await preferences.begin()
    assert not preferences.trade_confirmation


async def test_a_store_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    """A migration that is not known here refuses the start; nothing is put aside."""
    async with open_store(tmp_path):
        pass
    with duckdb.connect(tmp_path / "store.duckdb") as connection:
        connection.execute("INSERT INTO schema_migration VALUES ('9999_later.sql', '')")
    with pytest.raises(StoreMigrationError, match="newer version"):
        async with open_store(tmp_path):
            pass


async def test_the_file_keeps_its_rules(store: Store) -> None:
    """Keys, foreign keys and words are checked by DuckDB itself, which fetches and reads nothing else; two indexes
    beside those of the primary keys, as the design has them."""
    await store.observe(seen("pc-1", LOOK), 1_000, "pc-1")
    connection = store._connection  # its thread has nothing to do meanwhile
    for statement, because in (
        ("UPDATE account SET broker_id = uuid()", "foreign key"),
        ("DELETE FROM broker", "foreign key"),
        ("UPDATE instance SET status = 'GONE'", "CHECK"),
        ("INSERT INTO broker SELECT * FROM broker", "Duplicate key"),
        ("SET enable_external_access = true", "configuration"),
        ("INSTALL httpfs", "disabled"),
        ("SELECT * FROM read_text('ledger.sqlite')", "disabled"),
    ):
        with pytest.raises(duckdb.Error, match=f"(?i){because}"):
            connection.execute(statement)
    indexes = connection.execute("SELECT index_name FROM duckdb_indexes() ORDER BY 1").fetchall()
    assert indexes == [("account_of_broker",), ("instance_of_broker",)]


async def test_looks_become_one_change_until_they_are_sent(store: Store) -> None:
    """Hours without the mesh leave at most one change of a record that is under way and one that waits."""
    await store.observe(seen("pc-1", LOOK), 1_000, "pc-1")
    await answer(store)
    for number in range(6):
        await store.observe(seen("pc-1", replace(LOOK, equity=float(number))), 2_000 + number, "pc-1")
        if number == 2:
            under_way = await store.to_send(10)
    waiting = [change for change in await store.changes(100) if change.state in (State.PENDING, State.SENT)]
    assert [change.state for change in waiting] == [State.PENDING, State.SENT]
    assert await store.to_send(10) == under_way  # again the same, under its id, until it is answered
    await answer(store)
    last = await answer(store)
    assert [change.record.version for change in last] == [2]
    account = await held(store, Key(Kind.ACCOUNT, account_id("twin-1", 42)))
    assert account.version == 3
    assert account.content == seen("pc-1", replace(LOOK, equity=5.0))[2]


async def test_an_answered_change_is_remembered_for_the_person(store: Store) -> None:
    """Applied, merged with both sides shown, refused with its reason."""
    await store.prefer(USER, {"theme": Theme.LIGHT}, 1_000, "pc-1")
    await answer(store)
    await store.prefer(USER, {"language": "de"}, 2_000, "pc-1")
    sent = (await store.to_send(1))[0]
    theirs = replace(sent.record, content=Preferences(USER, language="fr"), version=2, updated_unix_ms=3_000)
    await store.settle([Outcome(sent.change_id, Verdict.STALE, theirs)], [], [])
    assert await store.preferences(USER) == Preferences(USER, language="fr")
    await store.prefer(USER, {"language": "it"}, 4_000, "pc-1")
    refused = (await store.to_send(1))[0]
    await store.settle([Outcome(refused.change_id, Verdict.REFUSED, theirs, "no such language")], [], [])
    assert (await store.preferences(USER)).language == "fr"
    assert await states(store) == [State.APPLIED, State.MERGED, State.REFUSED]
    outcomes = [change.outcome for change in await store.changes(10)]
    assert outcomes[0] == "no such language"
    assert "here de, there fr" in outcomes[1]


async def test_a_change_made_while_another_is_under_way_is_not_lost(store: Store) -> None:
    """Whatever becomes of the first: applied, or merged with somebody else's."""
    await store.prefer(USER, {"theme": Theme.LIGHT}, 1_000, "pc-1")
    first = (await store.to_send(1))[0]
    await store.prefer(USER, {"auto_close_trades": True}, 2_000, "pc-1")
    theirs = Record(Preferences(USER, language="fr"), 6, False, 500, 500, "pc-2")
    await store.settle([Outcome(first.change_id, Verdict.STALE, theirs)], [], [])
    wanted = Preferences(USER, theme=Theme.LIGHT, auto_close_trades=True, language="fr")
    assert await store.preferences(USER) == wanted
    second = await answer(store)
    assert [(change.record.version, change.record.content) for change in second] == [(6, wanted)]
    assert not any(one.waiting for one in await store.records())


async def test_what_comes_down_does_not_overwrite_what_waits_to_go_up(store: Store) -> None:
    """Made while an answer was on its way: it is merged when it is answered itself, and sent once."""
    await store.prefer(USER, {"theme": Theme.LIGHT}, 1_000, "pc-1")
    theirs = Record(Preferences(USER, language="fr"), 6, False, 500, 500, "pc-2")
    await store.settle([], [theirs], [PREFERENCES])
    assert await store.preferences(USER) == Preferences(USER, theme=Theme.LIGHT)
    sent = await store.to_send(10)
    assert [change.record.content for change in sent] == [Preferences(USER, theme=Theme.LIGHT)]
    await store.settle([Outcome(sent[0].change_id, Verdict.STALE, theirs)], [], [])
    assert await store.preferences(USER) == Preferences(USER, theme=Theme.LIGHT, language="fr")


async def test_two_records_of_one_version_are_told_and_the_later_counts(store: Store) -> None:
    """One of them came from a backup; nothing is overwritten in silence."""
    here = Record(Preferences(USER, language="de"), 4, False, 10, 200, "pc-1")
    await store.settle([], [here], [])
    older = replace(here, content=Preferences(USER, language="fr"), updated_unix_ms=100)
    await store.settle([], [older], [])
    assert (await store.preferences(USER)).language == "de"
    assert [change.record.version for change in await answer(store)] == [4]
    newer = replace(older, version=5, updated_unix_ms=300)
    await store.settle([], [newer], [])
    assert (await store.preferences(USER)).language == "fr"


async def test_a_removal_leaves_a_tombstone(store: Store) -> None:
    """It is listed no more, and goes up as a change; what is not there can not be removed."""
    await store.observe(seen("pc-1", LOOK), 1_000, "pc-1")
    await answer(store)
    key = key_of(seen("pc-1", LOOK)[2])
    await store.remove(key, 2_000, "person")
    assert key not in {one.record.key for one in await store.records()}
    assert [(change.key, change.record.removed) for change in await answer(store)] == [(key, True)]
    with pytest.raises(UnknownRecordError, match="no account"):
        await store.remove(Key(Kind.ACCOUNT, USER), 2_000, "person")


async def test_preferences_are_live(store: Store) -> None:
    """Whoever reads them sees a change at once; whoever waits for one hears of it."""
    preferences = LivePreferences(store, USER, "pc-1")
    await preferences.begin()
    assert not preferences.trade_confirmation
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(preferences.changed(preferences.now))
        await preferences.set({"trade_confirmation": True})
        assert preferences.trade_confirmation
        assert (await waiting).trade_confirmation


async def test_what_is_on_disk_is_in_force_though_whoever_asked_has_given_up(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trades wait for the person's word from then on, and the database is told; so it is of a removal."""
    await store.observe(seen("pc-1", LOOK), 1_000, "pc-1")
    preferences = LivePreferences(store, USER, "pc-1")
    await preferences.begin()
    asking: asyncio.Task[Any]
    loop, note = asyncio.get_running_loop(), journal.note
    monkeypatch.setattr(journal, "note", lambda *change: (loop.call_soon_threadsafe(asking.cancel), note(*change)))
    account = key_of(seen("pc-1", LOOK)[2])
    for asked in (preferences.set({"trade_confirmation": True}), store.remove(account, 2_000, "person")):
        store.changed.clear()
        asking = loop.create_task(asked)
        with pytest.raises(asyncio.CancelledError):
            await asking
        await store.held()  # behind the write
        assert store.changed.is_set()
    assert preferences.trade_confirmation


async def test_a_word_that_could_not_be_written_was_not_said(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a person wants is not known then, whatever else he sets afterwards."""
    preferences = LivePreferences(store, USER, "pc-1", shared=True)
    await preferences.begin()

    def fail(*_: object) -> None:
        raise duckdb.IOException("the disk is full")

    with monkeypatch.context() as full:
        full.setattr(journal, "note", fail)
        with pytest.raises(duckdb.IOException):
            await preferences.set({"trade_confirmation": False})
    assert (await preferences.set({"auto_close_trades": True})).trade_confirmation
