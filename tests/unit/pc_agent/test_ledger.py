"""What the ledger keeps and what it refuses."""

import asyncio
import json
import sqlite3
import threading
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mesh.orders import Kind
from pc_agent.domain.orders import Account, Entry, OrderState, Result, Side, Signal, mark_of
from pc_agent.file_lock import LockedError
from pc_agent.orders.ledger import Ledger, LedgerError, Report, Transaction, open_ledger
from pc_agent.orders.ledger_schema import MIGRATIONS, LedgerFileError, NewerLedgerError
from tests.support import eventually

ACCOUNT = Account("twin-1", 1_000_001)


def entry(name: str, seq: int = 1, state: OrderState = OrderState.RECEIVED, kind: Kind | None = Kind.MARKET) -> Entry:
    signal = Signal(name, ACCOUNT, 2**63, seq, False, False, "EURUSD", Side.SELL, "0.1", "1.2", "1.0", 5, kind)
    return Entry(signal, Result(state), 11)


async def in_one_commit(ledger: Ledger, *asked: Coroutine[Any, Any, object]) -> None:
    """They come, in this order, while the thread is at another one."""
    begun, go_on = threading.Event(), threading.Event()

    def hold_up(_: Transaction) -> None:
        begun.set()
        go_on.wait(60)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(ledger.run(hold_up))
        await eventually(begun.is_set)
        for one in asked:
            tasks.create_task(one)
        await asyncio.sleep(0)
        go_on.set()


async def test_what_is_written_is_there_for_the_next_agent(tmp_path: Path) -> None:
    """Signals, how far the sequence got and reports survive; an open entry comes back as it was."""
    with open_ledger(tmp_path) as first:
        assert await first.receive(ACCOUNT, 2**63, 2, [entry("a"), entry("b", 2)]) == {"a", "b"}
        await first.intend(["b"], 12)
        await first.settle("b", Result(OrderState.FILLED, ticket=2**63 + 1, deal=7, volume="0.1", price="1.1"))
    with open_ledger(tmp_path) as second:
        assert await second.last_seq(ACCOUNT) == (2**63, 2)
        assert await second.open_entries(ACCOUNT) == [entry("a")]
        reports = await second.reports(ACCOUNT, 10)
        assert [report.report_id for report in reports] == ["b/INTENT", "b/FILLED"]
        assert reports[1].entry.result.ticket == 2**63 + 1
        assert reports[1].entry.intent_unix_ns == 12


async def test_it_knows_when_entries_were_begun(ledger: Ledger) -> None:
    """Of one account and of late, oldest first; what makes nothing larger is none."""
    other = replace(entry("other"), signal=replace(entry("other").signal, account=Account("twin-1", 2)))
    entries = [entry("b"), entry("a"), entry("old"), entry("never"), entry("close", kind=Kind.CLOSE), other]
    assert await ledger.entries_since(ACCOUNT, 20) == []
    await ledger.receive(ACCOUNT, 1, 1, entries)
    for name, began in (("old", 20), ("a", 21), ("b", 22), ("close", 23), ("other", 24)):
        await ledger.intend([name], began)
    assert await ledger.entries_since(ACCOUNT, 20) == [21, 22]


async def test_a_report_never_changes(ledger: Ledger) -> None:
    """What an acceptance said stays as it was when the order is filled; a repeated report is the same one."""
    await ledger.receive(ACCOUNT, 1, 1, [entry("a")])
    await ledger.intend(["a"], 12)
    await ledger.settle("a", Result(OrderState.FILLED, ticket=4))
    accepted, filled = await ledger.reports(ACCOUNT, 10)
    assert (accepted.entry.state, accepted.entry.result.ticket) == (OrderState.INTENT, 0)
    ledger.note_acknowledged([accepted.report_id, filled.report_id])
    assert await ledger.reports(ACCOUNT, 10) == []
    assert await ledger.repeat("a")
    (again,) = await ledger.reports(ACCOUNT, 10)
    assert (again.report_id, again.entry.result) == (filled.report_id, filled.entry.result)
    assert not await ledger.repeat("never seen")


async def test_a_known_signal_is_not_taken_twice(ledger: Ledger) -> None:
    """The second delivery changes nothing of the first."""
    await ledger.receive(ACCOUNT, 1, 1, [entry("a")])
    await ledger.intend(["a"], 12)
    assert await ledger.receive(ACCOUNT, 1, 2, [entry("a", 2)]) == frozenset()
    assert [open_entry.state for open_entry in await ledger.open_entries(ACCOUNT)] == [OrderState.INTENT]


async def test_what_follows_a_commit_follows_though_nobody_waits(ledger: Ledger) -> None:
    """The thread writes what it was asked; nothing follows from what failed, and one that fails is no one else's."""
    followed: list[object] = []

    def fail(_: object) -> None:
        raise KeyError("no such thing")

    asked = asyncio.get_running_loop().create_task(ledger.run(lambda one: one.add(entry("a")), followed.append))
    await asyncio.sleep(0)
    asked.cancel()
    with pytest.raises(LedgerError):
        await ledger.run(lambda one: one.intend("never seen", 1), followed.append)
    failing, other = await asyncio.gather(
        ledger.run(lambda one: one.add(entry("b")), fail),
        ledger.run(lambda one: one.add(entry("c"))),
        return_exceptions=True,
    )
    assert (followed, type(failing), other) == ([True], KeyError, True)


async def test_what_follows_does_not_overtake_who_was_first(ledger: Ledger) -> None:
    """Of one commit each hears in turn: what was written later is not heard of before what was written earlier."""
    heard: list[str] = []

    async def ask(name: str, then: Callable[[None], None] | None = None) -> None:
        await ledger.run(lambda _: None, then)
        heard.append(name)

    await in_one_commit(ledger, ask("first"), ask("second", lambda _: heard.append("follows")))
    assert heard == ["first", "follows", "second"]


@pytest.mark.parametrize("state", [OrderState.REJECTED, OrderState.EXPIRED, OrderState.INTENT])
async def test_doubt_is_never_called_refusal(ledger: Ledger, state: OrderState) -> None:
    """From UNKNOWN an order is proven filled or proven not executed, nothing else; what failed leaves no trace."""
    await ledger.receive(ACCOUNT, 1, 1, [entry("a", state=OrderState.UNKNOWN)])
    with pytest.raises(LedgerError, match="UNKNOWN"):
        await (ledger.intend(["a"], 1) if state is OrderState.INTENT else ledger.settle("a", Result(state)))
    await ledger.settle("a", Result(OrderState.NOT_EXECUTED))
    assert [report.entry.state for report in await ledger.reports(ACCOUNT, 10)] == [
        OrderState.UNKNOWN,
        OrderState.NOT_EXECUTED,
    ]


async def test_writers_together_fail_alone(ledger: Ledger) -> None:
    """Of many at once the one that may not is refused, the others are written."""
    await ledger.receive(ACCOUNT, 1, 3, [entry("a"), entry("b", 2), entry("c", 3)])
    await ledger.intend(["b"], 1)
    outcomes = await asyncio.gather(*(ledger.intend([name], 2) for name in "abc"), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [type(None), LedgerError, type(None)]
    assert {open_entry.intent_unix_ns for open_entry in await ledger.open_entries(ACCOUNT)} == {1, 2}


async def test_what_can_not_be_written_is_told_to_who_asked(ledger: Ledger) -> None:
    """A number beyond SQLite's is refused; the ledger goes on."""
    await ledger.receive(ACCOUNT, 1, 1, [entry("a")])
    async with asyncio.timeout(30):
        with pytest.raises(OverflowError):
            await ledger.intend(["a"], 2**63)
        await ledger.intend(["a"], 1)


async def test_a_ledger_has_one_owner(ledger: Ledger, tmp_path: Path) -> None:
    """A second agent on the same folder is refused."""
    with pytest.raises(LockedError, match="held by another"), open_ledger(tmp_path):
        pass


async def test_a_ledger_has_an_identity_of_its_own(tmp_path: Path) -> None:
    """The same after a restart, another one in another file."""
    with open_ledger(tmp_path / "a") as first, open_ledger(tmp_path / "b") as other:
        name = first.ledger_id
        assert other.ledger_id != name
    with open_ledger(tmp_path / "a") as again:
        assert again.ledger_id == name


async def test_every_field_of_a_signal_survives(ledger: Ledger) -> None:
    """What was asked, when it was committed and sent, and how far it got."""
    whole = Entry(
        Signal(
            "a", ACCOUNT, 2**63, 1, False, False, "EURUSD", None, "0.1", "1.2", "1.0", 5, Kind.STOP_LIMIT, "1.1",
            "1.05", 2**64 - 1, 2**63, 7, 8, 9, 10, 11,
        ),
        Result(OrderState.INTENT), 12, 13, clock_offset_ns=-14,
    )  # fmt: skip
    await ledger.receive(ACCOUNT, 2**63, 1, [whole])
    ledger.note_sent("a", 15, 16)
    result = Result(OrderState.PLACED, "DONE", "words", 2**64 - 1, 18, "", "", 10009, 0, 20)
    entry = await ledger.settle("a", result)
    placed = replace(result, called_unix_ns=16)
    assert entry == replace(whole, result=placed, queued_unix_ns=15)
    assert await ledger.entry("a") == entry
    assert await ledger.by_ticket(ACCOUNT, 2**64 - 1) == [entry]
    assert await ledger.by_mark(ACCOUNT, mark_of("a")) == entry
    assert await ledger.by_mark(Account("twin-1", 2), mark_of("a")) is None


async def test_a_pending_order_is_filled_in_parts_and_stays_open(ledger: Ledger) -> None:
    """Each part is a report of its own; a later word keeps what it does not know better."""
    await ledger.receive(ACCOUNT, 1, 1, [entry("a", kind=Kind.LIMIT)])
    await ledger.intend(["a"], 1)
    for volume in ("0.02", "0.05"):
        await ledger.settle("a", Result(OrderState.PARTIALLY_FILLED, ticket=4, volume=volume, price="1.1"))
        assert [open_entry.state for open_entry in await ledger.open_entries(ACCOUNT)] == [OrderState.PARTIALLY_FILLED]
    await ledger.settle("a", Result(OrderState.CANCELED, "REMOVED"))
    reports = await ledger.reports(ACCOUNT, 10)
    assert [report.report_id for report in reports] == [
        "a/INTENT", "a/PARTIALLY_FILLED/0.02", "a/PARTIALLY_FILLED/0.05", "a/CANCELED",
    ]  # fmt: skip
    assert (reports[-1].entry.result.ticket, reports[-1].entry.result.volume) == (4, "0.05")
    assert await ledger.open_entries(ACCOUNT) == []


async def test_what_a_worker_was_about_to_do_is_written_but_not_reported(ledger: Ledger) -> None:
    """SENT is the ledger's own state; it comes too late for what is over already."""
    await ledger.receive(ACCOUNT, 1, 2, [entry("a"), entry("b", 2)])
    await ledger.intend(["a", "b"], 1)
    ledger.note_sent("a", 2, 3)
    await ledger.settle("b", Result(OrderState.FILLED))
    ledger.note_sent("b", 2, 3)
    assert [one.state for one in await ledger.open_entries(ACCOUNT)] == [OrderState.SENT]
    assert "a/SENT" not in [report.report_id for report in await ledger.reports(ACCOUNT, 10)]


async def test_reports_are_told_as_soon_as_they_are_on_disk(ledger: Ledger) -> None:
    """To who listens for their account, in the order of their places, once each."""
    heard: list[Report] = []

    def listen(reports: Sequence[Report]) -> None:
        heard.extend(reports)

    ledger.listen(ACCOUNT, listen)
    ledger.listen(Account("twin-1", 2), lambda _: pytest.fail("another account's"))
    await ledger.receive(ACCOUNT, 1, 2, [entry("a"), entry("b", 2, OrderState.REJECTED)])
    await ledger.intend(["a"], 1)
    await ledger.settle("a", Result(OrderState.FILLED))
    await asyncio.sleep(0)
    assert [report.report_id for report in heard] == ["b/REJECTED", "a/INTENT", "a/FILLED"]
    assert [report.place for report in heard] == sorted(report.place for report in heard)
    assert await ledger.reports(ACCOUNT, 10) == heard
    assert await ledger.reports(ACCOUNT, 10, after=heard[1].place) == heard[2:]


async def test_a_refused_report_is_set_aside_and_in_nobodys_way(ledger: Ledger) -> None:
    """A hundred that the engine will never take do not hold up the next one; a person finds them with their reason."""
    await ledger.receive(ACCOUNT, 1, 101, [entry(f"s{n}", n, OrderState.REJECTED) for n in range(1, 102)])
    for report in await ledger.reports(ACCOUNT, 100):
        ledger.note_refused(report.report_id, "UNKNOWN_ORDER", "nobody knows it")
    assert [report.report_id for report in await ledger.reports(ACCOUNT, 100)] == ["s101/REJECTED"]
    refused = await ledger.refused_reports()
    assert (refused[0].report_id, refused[0].reason) == ("s1/REJECTED", "UNKNOWN_ORDER")
    counts = await ledger.counts()
    assert (counts.states[OrderState.REJECTED], counts.reports_waiting, counts.reports_refused) == (101, 1, 100)


async def test_what_is_resolved_is_dropped_but_recognised(ledger: Ledger) -> None:
    """Final and acknowledged long ago; the same signal is not executed again. What is not acknowledged stays."""
    await ledger.receive(ACCOUNT, 1, 2, [entry("a"), entry("b", 2)])
    await ledger.intend(["a", "b"], 1)
    for name in "ab":
        await ledger.settle(name, Result(OrderState.FILLED))
    ledger.note_acknowledged(["a/INTENT", "a/FILLED", "b/INTENT"])
    resolved = await ledger.entry("a")
    assert resolved
    assert resolved.resolved_unix_ns
    assert await ledger.drop_resolved(resolved.resolved_unix_ns) == 0
    assert await ledger.drop_resolved(resolved.resolved_unix_ns + 1) == 1
    assert await ledger.entry("a") is None
    assert await ledger.receive(ACCOUNT, 1, 3, [entry("a", 3)]) == frozenset()
    assert await ledger.repeat("a")
    assert await ledger.entry("b")


async def test_proof_beats_what_was_concluded(ledger: Ledger) -> None:
    """A deal that turns up makes a fill of what was called dead, and that has to be acknowledged anew."""
    await ledger.receive(ACCOUNT, 1, 1, [entry("a", state=OrderState.UNKNOWN)])
    await ledger.settle("a", Result(OrderState.NOT_EXECUTED))
    ledger.note_acknowledged(["a/NOT_EXECUTED"])
    late = await ledger.settle("a", Result(OrderState.FILLED, volume="0.1", price="1.1"))
    assert late.resolved_unix_ns == 0


async def test_a_ledger_of_the_first_kind_is_read(tmp_path: Path) -> None:
    """Its entries and reports are as they were; what it did not know has its default; marks are found."""
    file = tmp_path / "ledger.sqlite"
    with sqlite3.connect(file) as old:
        MIGRATIONS[0](old)
        old.execute("INSERT INTO sequence VALUES ('twin-1', 1000001, '7', '2')")
        row = ("a", "twin-1", 1_000_001, "7", "2", 0, "EURUSD", "SELL", "0.1", "", "", 5, 11, 12, "UNKNOWN", "TIMEOUT",
               "words", "0", "0", "", "", 10012, 13, 14)  # fmt: skip
        names = ("signal_id, server, login, epoch, seq, redelivered, symbol, side, volume, stop_loss, take_profit,"
                 " not_after_unix_ms, received_unix_ns, intent_unix_ns, state, reason, message, ticket, deal,"
                 " filled_volume, filled_price, retcode, called_unix_ns, answered_unix_ns")  # fmt: skip
        old.execute(f"INSERT INTO signal ({names}) VALUES ({', '.join('?' * len(row))})", row)
        old.execute("INSERT INTO report VALUES (9, 'a/UNKNOWN', ?)", (json.dumps(row),))
    old.close()
    with open_ledger(tmp_path) as ledger:
        assert await ledger.last_seq(ACCOUNT) == (7, 2)
        (found,) = await ledger.open_entries(ACCOUNT)
        assert (found.signal.kind, found.signal.side, found.result.retcode) == (Kind.MARKET, Side.SELL, 10012)
        assert await ledger.by_mark(ACCOUNT, mark_of("a")) == found
        assert await ledger.reports(ACCOUNT, 10) == [Report("a/UNKNOWN", found, 9)]
        await ledger.settle("a", Result(OrderState.NOT_EXECUTED))
        assert [report.place for report in await ledger.reports(ACCOUNT, 10)] == [9, 10]


async def test_a_kind_that_nobody_knows_is_kept_as_such(ledger: Ledger) -> None:
    """In the entry and in its report, under the name that the contract has for it."""
    unknown = entry("a", state=OrderState.UNKNOWN, kind=None)
    await ledger.receive(ACCOUNT, 1, 1, [unknown])
    assert await ledger.open_entries(ACCOUNT) == [unknown]
    assert [report.entry for report in await ledger.reports(ACCOUNT, 10)] == [unknown]
    query = "SELECT kind FROM signal"
    assert await ledger.run(lambda one: one.database.execute(query).fetchall()) == [("UNSPECIFIED",)]


def test_a_ledger_of_a_newer_agent_is_refused(tmp_path: Path) -> None:
    """This one would not understand it."""
    with sqlite3.connect(tmp_path / "ledger.sqlite") as newer:
        newer.execute("PRAGMA user_version = 99")
    newer.close()
    with pytest.raises(NewerLedgerError, match="update"), open_ledger(tmp_path):
        pass


async def test_a_full_disk_is_told_to_who_waits_and_nothing_of_it_is_written(ledger: Ledger) -> None:
    """Neither what did not fit nor what shared its commit; when there is room again, all goes on."""

    def allow(pages: int) -> Callable[[Transaction], None]:
        return lambda transaction: transaction.database.execute(f"PRAGMA max_page_count = {pages}").close()

    big = entry("big")
    big = replace(big, signal=replace(big.signal, stop_loss="1" * 200_000))
    await ledger.run(allow(1))  # at least as many as it has
    written = [ledger.receive(ACCOUNT, 1, 1, [one]) for one in (entry("small"), big)]
    told = await asyncio.gather(*written, return_exceptions=True)
    assert isinstance(told[1], LedgerFileError)
    assert "disk full" in str(told[1])
    assert await ledger.entry("big") is None
    await ledger.run(allow(2**30))
    assert await ledger.receive(ACCOUNT, 1, 1, [big]) == {"big"}


@pytest.mark.parametrize("damage", ["no database", "torn page"])
def test_a_damaged_ledger_is_refused_in_words(tmp_path: Path, damage: str) -> None:
    """The person learns what to do with it; it is not begun anew over what may be left of it."""
    file = tmp_path / "ledger.sqlite"
    with open_ledger(tmp_path):
        pass
    content = file.read_bytes()
    torn = content[: len(content) // 2] + b"\xff" * (len(content) - len(content) // 2)
    file.write_bytes(torn if damage == "torn page" else b"not at all" * 1000)
    with pytest.raises(LedgerFileError, match="move it aside"), open_ledger(tmp_path):
        pass
    assert file.stat().st_size > 0


async def test_what_another_ledger_reported_is_reported_anew(ledger: Ledger) -> None:
    """The engine has PLACED of the one that is lost: this one's UNKNOWN must not be the last word."""
    placed = entry("s1", kind=Kind.LIMIT)
    lost = replace(placed, signal=replace(placed.signal, redelivered=True), result=Result(OrderState.UNKNOWN))
    await ledger.receive(ACCOUNT, 2**63, 1, [lost])
    await ledger.settle("s1", Result(OrderState.PLACED, ticket=7))
    names = [report.report_id for report in await ledger.reports(ACCOUNT, 10)]
    assert names == ["s1/UNKNOWN@11", "s1/PLACED@11"]
