"""The ledger: what this agent was asked and what it did, on disk before it does it (SQLite).

One thread owns the database; callers that come together share one commit.
"""

import asyncio
import json
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any, TypeVar

from pc_agent.domain.orders import REACHED_FROM, Account, Entry, OrderState, Result
from pc_agent.file_lock import file_lock
from pc_agent.orders.ledger_rows import ENTRY_COLUMNS, RESULT_COLUMNS, entry_of, entry_row, result_row

T = TypeVar("T")
_MOST_TOGETHER = 64

_SCHEMA = """
CREATE TABLE IF NOT EXISTS sequence (
    server TEXT NOT NULL, login INTEGER NOT NULL, epoch TEXT NOT NULL, last_seq TEXT NOT NULL,
    PRIMARY KEY (server, login)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS signal (
    place INTEGER PRIMARY KEY,
    signal_id TEXT NOT NULL UNIQUE, server TEXT NOT NULL, login INTEGER NOT NULL,
    epoch TEXT NOT NULL, seq TEXT NOT NULL, redelivered INTEGER NOT NULL,
    symbol TEXT NOT NULL, side TEXT, volume TEXT NOT NULL, stop_loss TEXT NOT NULL, take_profit TEXT NOT NULL,
    not_after_unix_ms INTEGER NOT NULL,
    received_unix_ns INTEGER NOT NULL, intent_unix_ns INTEGER NOT NULL DEFAULT 0,
    state TEXT NOT NULL, reason TEXT NOT NULL, message TEXT NOT NULL, ticket TEXT NOT NULL, deal TEXT NOT NULL,
    filled_volume TEXT NOT NULL, filled_price TEXT NOT NULL, retcode INTEGER NOT NULL,
    called_unix_ns INTEGER NOT NULL, answered_unix_ns INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS signal_open ON signal (state) WHERE state IN ('RECEIVED', 'INTENT', 'UNKNOWN');
CREATE TABLE IF NOT EXISTS report (
    place INTEGER PRIMARY KEY,
    report_id TEXT NOT NULL UNIQUE,
    entry TEXT NOT NULL  -- the signal's row as it was then, as JSON: a report never changes
);
"""

_ENTRY = ", ".join(ENTRY_COLUMNS)


class LedgerError(Exception):
    """An order was to be moved where its state does not lead: a mistake of this program's."""


@dataclass(frozen=True, slots=True)
class Report:
    """A state to be told to the engine until it acknowledges; the same id always says the same."""

    report_id: str
    entry: Entry


@dataclass(frozen=True, slots=True)
class _Job:
    work: Callable[[sqlite3.Connection], Any]
    loop: asyncio.AbstractEventLoop
    future: "asyncio.Future[Any]"


class Ledger:
    """Open it with `open_ledger`. Every method returns when what it says is on disk."""

    def __init__(self, file: Path) -> None:
        # Opened by the caller, who learns what is wrong with the file; then the thread's alone.
        self._database = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = FULL")
        self._database.executescript(_SCHEMA)
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="ledger", daemon=True)
        self._thread.start()

    async def last_seq(self, account: Account) -> tuple[int, int]:
        """(epoch, last place without a gap); zeros for an account it does not know."""
        return await self._do(lambda database: _last_seq(database, account))

    async def receive(self, account: Account, epoch: int, last_seq: int, entries: Sequence[Entry]) -> frozenset[str]:
        """Write new signals and how far the sequence got; the ids of those that were not known before."""

        def write(database: sqlite3.Connection) -> frozenset[str]:
            database.execute(
                "INSERT OR REPLACE INTO sequence VALUES (?, ?, ?, ?)",
                (account.server, account.login, str(epoch), str(last_seq)),
            )
            return frozenset(entry.signal.signal_id for entry in entries if _insert(database, entry))

        return await self._do(write)

    async def intend(self, signal_id: str, intent_unix_ns: int) -> None:
        """From here on it may have been executed."""

        def write(database: sqlite3.Connection) -> None:
            _move(database, signal_id, OrderState.INTENT, "intent_unix_ns = ?", (intent_unix_ns,))

        await self._do(write)

    async def settle(self, signal_id: str, result: Result) -> None:
        """Write what came of it.

        Raises:
            LedgerError: its state does not lead there.
        """
        columns = ", ".join(f"{name} = ?" for name in RESULT_COLUMNS)
        values = result_row(result)

        def write(database: sqlite3.Connection) -> None:
            _move(database, signal_id, result.state, columns, values)

        await self._do(write)

    async def repeat(self, signal_id: str) -> bool:
        """Report again how a signal stands; False: it is not known."""
        return await self._do(lambda database: _repeat(database, signal_id))

    async def open_entries(self, account: Account) -> list[Entry]:
        """Everything of `account` that is not done, in the order of arrival; another's waits until that is back."""
        query = (
            f"SELECT {_ENTRY} FROM signal WHERE state IN ('RECEIVED', 'INTENT', 'UNKNOWN')"
            " AND server = ? AND login = ? ORDER BY place"
        )
        return await self._do(lambda database: [entry_of(row) for row in database.execute(query, astuple(account))])

    async def reports(self, account: Account, limit: int) -> list[Report]:
        """The oldest of `account` that were not acknowledged."""
        server, login = (f"json_extract(entry, '$[{ENTRY_COLUMNS.index(name)}]')" for name in ("server", "login"))
        query = f"SELECT report_id, entry FROM report WHERE {server} = ? AND {login} = ? ORDER BY place LIMIT ?"
        return await self._do(
            lambda database: [
                Report(report_id, entry_of(json.loads(row)))
                for report_id, row in database.execute(query, (*astuple(account), limit))
            ]
        )

    async def acknowledged(self, report_ids: Sequence[str]) -> None:
        """The engine has them."""

        def write(database: sqlite3.Connection) -> None:
            database.executemany("DELETE FROM report WHERE report_id = ?", [(name,) for name in report_ids])

        await self._do(write)

    def close(self) -> None:
        """Finish what was asked, then let go of the file."""
        self._jobs.put(None)
        self._thread.join()

    async def _do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._jobs.put(_Job(work, loop, future))
        return await future

    # in the thread

    def _work(self) -> None:
        with closing(self._database) as database:
            while (job := self._jobs.get()) is not None:
                jobs, last = self._together(job)
                _commit(database, jobs)
                if last:
                    return

    def _together(self, first: _Job) -> tuple[list[_Job], bool]:
        jobs = [first]
        while len(jobs) < _MOST_TOGETHER and not self._jobs.empty():
            job = self._jobs.get()
            if job is None:
                return jobs, True
            jobs.append(job)
        return jobs, False


@contextmanager
def open_ledger(folder: Path) -> Iterator[Ledger]:
    """The ledger in `folder`, which nobody else may use meanwhile.

    Raises:
        LockedError: another agent does.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with file_lock(folder / "ledger.lock"):
        ledger = Ledger(folder / "ledger.sqlite")
        try:
            yield ledger
        finally:
            ledger.close()


def _commit(database: sqlite3.Connection, jobs: Sequence[_Job]) -> None:
    """All in one transaction; a job that fails takes nothing with it."""
    outcomes: list[tuple[_Job, Any, Exception | None]] = []
    try:
        database.execute("BEGIN IMMEDIATE")
        for job in jobs:
            database.execute("SAVEPOINT job")
            try:
                outcomes.append((job, job.work(database), None))
            except Exception as error:  # noqa: BLE001 - who asked must hear of it, and the thread must live
                database.execute("ROLLBACK TO job")
                outcomes.append((job, None, error))
            database.execute("RELEASE job")
        database.execute("COMMIT")
    except sqlite3.Error as error:
        if database.in_transaction:
            database.execute("ROLLBACK")
        outcomes = [(job, None, error) for job in jobs]
    for job, value, failure in outcomes:
        job.loop.call_soon_threadsafe(_deliver, job.future, value, failure)


def _deliver(future: "asyncio.Future[Any]", value: object, failure: Exception | None) -> None:
    if future.cancelled():
        return
    if failure:
        future.set_exception(failure)
    else:
        future.set_result(value)


def _last_seq(database: sqlite3.Connection, account: Account) -> tuple[int, int]:
    query = "SELECT epoch, last_seq FROM sequence WHERE server = ? AND login = ?"
    row = database.execute(query, astuple(account)).fetchone()
    return (int(row[0]), int(row[1])) if row else (0, 0)


def _insert(database: sqlite3.Connection, entry: Entry) -> bool:
    places = ", ".join("?" * len(ENTRY_COLUMNS))
    cursor = database.execute(f"INSERT OR IGNORE INTO signal ({_ENTRY}) VALUES ({places})", entry_row(entry))
    if cursor.rowcount and entry.state is not OrderState.RECEIVED:
        _report(database, entry.signal.signal_id, entry.state)
    return bool(cursor.rowcount)


def _move(
    database: sqlite3.Connection, signal_id: str, state: OrderState, columns: str, values: tuple[Any, ...]
) -> None:
    sources = sorted(REACHED_FROM[state])
    cursor = database.execute(
        f"UPDATE signal SET state = ?, {columns} WHERE signal_id = ? AND state IN ({', '.join('?' * len(sources))})",
        (state, *values, signal_id, *sources),
    )
    if not cursor.rowcount:
        row = database.execute("SELECT state FROM signal WHERE signal_id = ?", (signal_id,)).fetchone()
        raise LedgerError(f"signal {signal_id!r} is {row[0] if row else 'not known'}: it can not become {state}")
    _report(database, signal_id, state)


def _report(database: sqlite3.Connection, signal_id: str, state: OrderState) -> None:
    row = database.execute(f"SELECT {_ENTRY} FROM signal WHERE signal_id = ?", (signal_id,)).fetchone()
    database.execute(
        "INSERT OR IGNORE INTO report (report_id, entry) VALUES (?, ?)", (f"{signal_id}/{state}", json.dumps(row))
    )


def _repeat(database: sqlite3.Connection, signal_id: str) -> bool:
    row = database.execute("SELECT state FROM signal WHERE signal_id = ?", (signal_id,)).fetchone()
    if row and row[0] != OrderState.RECEIVED:
        _report(database, signal_id, OrderState(row[0]))
    return row is not None
