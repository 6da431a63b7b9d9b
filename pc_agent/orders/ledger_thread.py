"""The one thread that owns the ledger's file. Callers that come together share one commit."""

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from mesh.log import get_logger
from pc_agent.orders.ledger_schema import LedgerFileError, migrate
from pc_agent.orders.ledger_transaction import Report, Transaction

log = get_logger(__name__)

T = TypeVar("T")
Work = Callable[[Transaction], T]
_MOST_TOGETHER = 64
# How long a note waits for a commit to go with.
_NOTE_WAITS_S = 0.01


@dataclass(frozen=True, slots=True)
class _Job:
    """`future` None: a note, for which nobody waits. `then` hears in the loop what `work` returned."""

    work: Work[Any]
    loop: asyncio.AbstractEventLoop
    future: "asyncio.Future[Any] | None"
    then: Callable[[Any], None] | None = None


@dataclass(frozen=True, slots=True)
class _Outcome:
    job: _Job
    value: Any
    failure: Exception | None


class LedgerThread:
    """`listener` hears, in the caller's loop, of the reports that each commit made."""

    def __init__(self, file: Path, listener: Callable[[Sequence[Report]], None]) -> None:
        # Opened by the caller, who learns what is wrong with the file; then the thread's alone.
        self._database = _opened(file)
        self.ledger_id: str = self._database.execute("SELECT ledger FROM identity").fetchone()[0]
        self._listener = listener
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="ledger", daemon=True)
        self._thread.start()

    async def run(self, work: Work[T], then: Callable[[T], None] | None = None) -> T:
        """What `work` returns, once it is on disk. When it raises, nothing of it is.

        `then` hears of it before whoever waits, and also when nobody waits any more: the thread can not be called back.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._jobs.put(_Job(work, loop, future, then))
        return await future

    def note(self, work: Work[None]) -> None:
        """As `run`, but without waiting: with the next commit, or by itself soon."""
        self._jobs.put(_Job(work, asyncio.get_running_loop(), None))

    def close(self) -> None:
        """Finish what was asked, then let go of the file."""
        self._jobs.put(None)
        self._thread.join()

    # in the thread

    def _work(self) -> None:
        with closing(self._database) as database:
            while (job := self._jobs.get()) is not None:
                jobs, last = self._together(job)
                self._commit(database, jobs)
                if last:
                    return

    def _together(self, first: _Job) -> tuple[list[_Job], bool]:
        """`first` and what else is there; notes alone wait a moment for company."""
        jobs = [first]
        try:
            while len(jobs) < _MOST_TOGETHER:
                only_notes = all(job.future is None for job in jobs)
                job = self._jobs.get(timeout=_NOTE_WAITS_S) if only_notes else self._jobs.get_nowait()
                if job is None:
                    return jobs, True
                jobs.append(job)
        except queue.Empty:
            pass
        return jobs, False

    def _commit(self, database: sqlite3.Connection, jobs: Sequence[_Job]) -> None:
        """All in one transaction; a job that fails takes nothing with it."""
        outcomes: list[_Outcome] = []
        transaction = Transaction(database)
        try:
            database.execute("BEGIN IMMEDIATE")
            outcomes = [_do(transaction, job) for job in jobs]
            database.execute("COMMIT")
        except sqlite3.Error as error:
            if database.in_transaction:
                with suppress(sqlite3.Error):  # whoever waits must hear of it, and the thread must live
                    database.execute("ROLLBACK")
            failure = LedgerFileError(f"the ledger can not be written ({error}): is its disk full, or is it damaged?")
            outcomes = [_Outcome(job, None, failure) for job in jobs]
            transaction.reports.clear()
        try:
            jobs[0].loop.call_soon_threadsafe(self._deliver, outcomes, transaction.reports)
        except RuntimeError:
            return  # the loop has closed: nobody waits any more

    # in the loop

    def _deliver(self, outcomes: Sequence[_Outcome], reports: Sequence[Report]) -> None:
        for outcome in outcomes:
            if outcome.job.then:
                # Whoever was answered before it wakes in the loop's next turn: what came later must not overtake.
                outcome.job.loop.call_soon(_answer, outcome)
            else:
                _answer(outcome)
        if reports and outcomes:
            # Behind those who waited: they may have an order to send.
            outcomes[0].job.loop.call_soon(self._listener, reports)


def _opened(file: Path) -> sqlite3.Connection:
    """Raises LedgerFileError."""
    database = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        (state,) = database.execute("PRAGMA quick_check(1)").fetchone()
        if state != "ok":
            raise sqlite3.DatabaseError(state)
        migrate(database)
    except sqlite3.Error as error:
        database.close()
        raise LedgerFileError(
            f"the ledger {file} can not be used ({error}). If another program holds it, end that; if it is damaged,"
            " move it aside and keep it: the agent begins a new one and finds what it had begun in the terminal's books"
        ) from None
    except BaseException:
        database.close()
        raise
    return database


def _do(transaction: Transaction, job: _Job) -> _Outcome:
    made = len(transaction.reports)
    transaction.database.execute("SAVEPOINT job")
    try:
        outcome = _Outcome(job, job.work(transaction), None)
    except Exception as error:  # noqa: BLE001 - who asked must hear of it, and the thread must live
        transaction.database.execute("ROLLBACK TO job")
        del transaction.reports[made:]
        outcome = _Outcome(job, None, error)
    transaction.database.execute("RELEASE job")
    return outcome


def _answer(outcome: _Outcome) -> None:
    """In the loop: what follows from it, then whoever waits."""
    job, failure = outcome.job, outcome.failure
    if job.then and not failure:
        try:
            job.then(outcome.value)
        except Exception as error:  # noqa: BLE001 - who asked must hear of it, and the others of theirs
            failure = error
    if job.future is None or job.future.cancelled():
        if failure:
            log.error("what nobody waits for has failed", because=str(failure))
    elif failure:
        job.future.set_exception(failure)
    else:
        job.future.set_result(outcome.value)
