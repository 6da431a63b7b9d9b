"""The ledger: what this agent was asked and what it did, on disk before it does it (SQLite)."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import TypeVar

from mesh.clock import unix_ns
from mesh.orders import ENTRIES
from pc_agent.domain.orders import Account, Entry, Mark, OrderState, Result
from pc_agent.file_lock import file_lock
from pc_agent.orders.ledger_thread import LedgerThread
from pc_agent.orders.ledger_transaction import LedgerError, RefusedReport, Report, Transaction

__all__ = ["Ledger", "LedgerCounts", "LedgerError", "RefusedReport", "Report", "Transaction", "open_ledger"]

T = TypeVar("T")
ReportListener = Callable[[Sequence[Report]], None]

_MOST_DROPPED = 200


@dataclass(frozen=True, slots=True)
class LedgerCounts:
    """How many entries stand in each state, and how many reports wait or were refused."""

    states: Mapping[OrderState, int]
    reports_waiting: int
    reports_refused: int


class Ledger:
    """Open it with `open_ledger`. What a method says is on disk when it returns; notes are written soon."""

    def __init__(self, file: Path) -> None:
        self._listeners: dict[Account, ReportListener] = {}
        self._thread = LedgerThread(file, self._tell)

    @property
    def ledger_id(self) -> str:
        """Made with its file, another one in each new file."""
        return self._thread.ledger_id

    def listen(self, account: Account, listener: ReportListener) -> None:
        """It is told of reports of `account` as soon as they are on disk, in the order of places."""
        self._listeners[account] = listener

    async def run(self, work: Callable[[Transaction], T], then: Callable[[T], None] | None = None) -> T:
        """Do `work` in the ledger's thread, in one transaction with what else is asked now; all of it or nothing.

        `then` hears of what is on disk also when whoever asked has given up: what must follow from it belongs there.
        """
        return await self._thread.run(work, then)

    # the sequence

    async def last_seq(self, account: Account) -> tuple[int, int]:
        """(epoch, last place without a gap); zeros for an account it does not know."""

        def read(transaction: Transaction) -> tuple[int, int]:
            query = "SELECT epoch, last_seq FROM sequence WHERE server = ? AND login = ?"
            row = transaction.database.execute(query, astuple(account)).fetchone()
            return (int(row[0]), int(row[1])) if row else (0, 0)

        return await self.run(read)

    async def receive(self, account: Account, epoch: int, last_seq: int, entries: Sequence[Entry]) -> frozenset[str]:
        """Write new signals and how far the sequence got; the ids of those that were not known before."""

        def write(transaction: Transaction) -> frozenset[str]:
            transaction.database.execute(
                "INSERT OR REPLACE INTO sequence VALUES (?, ?, ?, ?)",
                (account.server, account.login, str(epoch), str(last_seq)),
            )
            return frozenset(entry.signal.signal_id for entry in entries if transaction.add(entry))

        return await self.run(write)

    # entries

    async def add(self, entry: Entry) -> bool:
        """A signal that the agent made itself, in no place of the sequence; False: it is known."""
        return await self.run(lambda transaction: transaction.add(entry))

    async def intend(self, signal_ids: Sequence[str], intent_unix_ns: int) -> None:
        """From here on they may have been executed. Raises LedgerError, and then none of them is moved."""

        def write(transaction: Transaction) -> None:
            for signal_id in signal_ids:
                transaction.intend(signal_id, intent_unix_ns)

        await self.run(write)

    def note_sent(self, signal_id: str, queued_unix_ns: int, called_unix_ns: int) -> None:
        """The worker is about to call `order_send`; written with the next commit."""
        self._thread.note(lambda transaction: transaction.note_sent(signal_id, queued_unix_ns, called_unix_ns))

    async def settle(
        self, signal_id: str, result: Result, *, queued_unix_ns: int = 0, clock_offset_ns: int = 0
    ) -> Entry:
        """Write what came of it; the entry as it stands then.

        Raises:
            LedgerError: its state does not lead there.
        """
        return await self.run(
            lambda transaction: transaction.settle(signal_id, result, queued_unix_ns, clock_offset_ns)
        )

    async def repeat(self, signal_id: str) -> bool:
        """Report again how a signal stands; False: it is not known."""
        return await self.run(lambda transaction: transaction.repeat(signal_id))

    async def entry(self, signal_id: str) -> Entry | None:
        return await self.run(lambda transaction: transaction.entry(signal_id))

    async def open_entries(self, account: Account) -> list[Entry]:
        """Everything of `account` of which something is still to come, in the order of arrival."""
        return await self.run(lambda transaction: transaction.open_entries(account))

    async def entries_since(self, account: Account, since_unix_ns: int) -> list[int]:
        """When entries of `account` were begun, oldest first."""
        return await self.run(lambda transaction: transaction.intents_since(account, ENTRIES, since_unix_ns))

    async def by_ticket(self, account: Account, ticket: int) -> list[Entry]:
        """Whose order at the terminal bears `ticket`."""
        return await self.run(lambda transaction: transaction.by_ticket(account, ticket))

    async def by_mark(self, account: Account, mark: Mark) -> Entry | None:
        """Whose orders at the terminal bear the magic or the comment of `mark`."""
        return await self.run(lambda transaction: transaction.by_mark(account, mark))

    # reports

    async def reports(self, account: Account, limit: int, after: int = 0) -> list[Report]:
        """The oldest of `account`, behind place `after`, that the engine has neither acknowledged nor refused."""
        return await self.run(lambda transaction: transaction.waiting_reports(account, after, limit))

    def note_acknowledged(self, report_ids: Sequence[str]) -> None:
        """The engine has them; should that be forgotten, it is told them once more."""
        now = unix_ns()
        self._thread.note(lambda transaction: transaction.acknowledge(report_ids, now))

    def note_refused(self, report_id: str, reason: str, message: str) -> None:
        """The engine will never take it: set it aside for a person."""
        self._thread.note(lambda transaction: transaction.refuse(report_id, reason, message))

    async def refused_reports(self) -> list[RefusedReport]:
        return await self.run(lambda transaction: transaction.refused_reports())

    async def counts(self) -> LedgerCounts:
        def read(transaction: Transaction) -> LedgerCounts:
            states = transaction.database.execute("SELECT state, count(*) FROM signal GROUP BY state").fetchall()
            query = "SELECT count(*) FILTER (WHERE refused_reason = ''), count(*) FROM report"
            waiting, reports = transaction.database.execute(query).fetchone()
            return LedgerCounts({OrderState(state): n for state, n in states}, waiting, reports - waiting)

        return await self.run(read)

    # housekeeping

    async def drop_resolved(self, before_unix_ns: int) -> int:
        """Forget entries resolved before then, some hundred at most; their ids are still recognised. How many."""
        return await self.run(lambda transaction: transaction.drop_resolved(before_unix_ns, _MOST_DROPPED))

    def close(self) -> None:
        """Finish what was asked, then let go of the file."""
        self._thread.close()

    def _tell(self, reports: Sequence[Report]) -> None:
        for account, listener in self._listeners.items():
            if own := [report for report in reports if report.entry.signal.account == account]:
                listener(own)


@contextmanager
def open_ledger(folder: Path) -> Iterator[Ledger]:
    """The ledger in `folder`, which nobody else may use meanwhile.

    Raises:
        LockedError: another agent does.
        LedgerFileError: it is damaged, or held by another program, or a newer agent wrote it.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with file_lock(folder / "ledger.lock"):
        ledger = Ledger(folder / "ledger.sqlite")
        try:
            yield ledger
        finally:
            ledger.close()
