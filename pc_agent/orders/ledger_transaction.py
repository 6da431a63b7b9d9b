"""What is read and written in one transaction of the ledger, in the ledger's thread."""

import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, field, replace
from hashlib import blake2b

from mesh.orders import Kind
from pc_agent.domain.orders import REACHED_FROM, Account, Entry, Mark, OrderState, Result, mark_of
from pc_agent.orders.ledger_rows import ENTRY_COLUMNS, entry_of, entry_row, progress_row

_ENTRY = ", ".join(ENTRY_COLUMNS)
_OPEN = (OrderState.RECEIVED, OrderState.INTENT, OrderState.SENT, OrderState.UNKNOWN, OrderState.PLACED,
         OrderState.PARTIALLY_FILLED)  # fmt: skip
# More than arrive in the time of any cap.
_NEWEST = 10_000
# The ledger's own: the engine is not told of them.
_UNTOLD = frozenset({OrderState.RECEIVED, OrderState.SENT})


class LedgerError(Exception):
    """An order was to be moved where its state does not lead: a mistake of this program's."""


@dataclass(frozen=True, slots=True)
class Report:
    """A state to be told to the engine until it acknowledges; the same id always says the same."""

    report_id: str
    entry: Entry
    # Ever growing, in the order in which they were made.
    place: int


@dataclass(frozen=True, slots=True)
class RefusedReport:
    """One that the engine will never take: kept for a person."""

    report_id: str
    entry: Entry
    reason: str
    message: str


@dataclass(slots=True)
class Transaction:
    """`reports`: made in it, told to who listens once it is committed."""

    database: sqlite3.Connection
    reports: list[Report] = field(default_factory=list)

    # entries

    def add(self, entry: Entry) -> bool:
        """A new signal; False: it is known, and nothing changes."""
        signal_id = entry.signal.signal_id
        if self.database.execute("SELECT 1 FROM dropped WHERE digest = ?", (_digest(signal_id),)).fetchone():
            return False
        mark, entry = mark_of(signal_id), _resolved(entry)
        row = entry_row(entry) | {"magic": mark.magic, "comment": mark.comment}
        cursor = self.database.execute(
            f"INSERT OR IGNORE INTO signal ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})",
            tuple(row.values()),
        )
        if cursor.rowcount:
            self._report(entry)
        return bool(cursor.rowcount)

    def entry(self, signal_id: str) -> Entry | None:
        """As it stands; None: it is not known (any more)."""
        found = self._entries("signal_id = ?", (signal_id,))
        return found[0] if found else None

    def entries(self, account: Account, states: Iterable[OrderState]) -> list[Entry]:
        """Those of `account` in one of `states`, in the order of arrival."""
        wanted = sorted(states)
        where = f"state IN ({', '.join('?' * len(wanted))}) AND server = ? AND login = ? ORDER BY place"
        return self._entries(where, (*wanted, *astuple(account)))

    def open_entries(self, account: Account) -> list[Entry]:
        """Those of which something is still to come."""
        return [entry for entry in self.entries(account, _OPEN) if not entry.is_final]

    def intents_since(self, account: Account, kinds: Iterable[Kind], since_unix_ns: int) -> list[int]:
        """When those of `kinds` were begun, oldest first; looked for among the newest, not in all of the past."""
        wanted = sorted(kinds)
        rows = self.database.execute(
            "SELECT intent_unix_ns FROM signal WHERE place > (SELECT max(place) FROM signal) - ? AND intent_unix_ns > ?"
            f" AND server = ? AND login = ? AND kind IN ({', '.join('?' * len(wanted))}) ORDER BY intent_unix_ns",
            (_NEWEST, since_unix_ns, *astuple(account), *wanted),
        )
        return [row[0] for row in rows]

    def by_ticket(self, account: Account, ticket: int) -> list[Entry]:
        """Whose order at the terminal bears `ticket`."""
        return self._entries("ticket = ? AND server = ? AND login = ?", (str(ticket), *astuple(account)))

    def remover(self, account: Account, ticket: int) -> str:
        """The signal that removed, or is removing, the pending order `ticket`; empty: none of ours."""
        found = self.database.execute(
            "SELECT signal_id FROM signal WHERE kind = 'CANCEL_ORDER' AND order_ticket = ? AND server = ? AND login = ?"
            " AND state IN ('INTENT', 'SENT', 'UNKNOWN', 'DONE') ORDER BY place DESC LIMIT 1",
            (str(ticket), *astuple(account)),
        ).fetchone()
        return str(found[0]) if found else ""

    def by_mark(self, account: Account, mark: Mark) -> Entry | None:
        """Whose orders bear the magic or the comment of `mark`: brokers may keep only one of them."""
        where = "(magic = ? OR comment = ?) AND server = ? AND login = ?"
        found = self._entries(where, (mark.magic, mark.comment, *astuple(account)))
        return found[0] if found else None

    # moves

    def intend(self, signal_id: str, intent_unix_ns: int) -> None:
        """From here on it may have been executed. Raises LedgerError."""
        entry = self._movable(signal_id, OrderState.INTENT)
        result = replace(entry.result, state=OrderState.INTENT)
        self._store(replace(entry, result=result, intent_unix_ns=intent_unix_ns))

    def note_sent(self, signal_id: str, queued_unix_ns: int, called_unix_ns: int) -> None:
        """The worker is about to call; nothing when it is past that already."""
        entry = self.entry(signal_id)
        if entry is not None and entry.state in REACHED_FROM[OrderState.SENT]:
            result = replace(entry.result, state=OrderState.SENT, called_unix_ns=called_unix_ns)
            self._store(replace(entry, result=result, queued_unix_ns=queued_unix_ns))

    def settle(self, signal_id: str, result: Result, queued_unix_ns: int = 0, clock_offset_ns: int = 0) -> Entry:
        """Write what came of it; tickets, fill and times that `result` does not know stay.

        Raises:
            LedgerError: its state does not lead there.
        """
        entry = self._movable(signal_id, result.state)
        settled = replace(
            entry,
            result=_merged(entry.result, result),
            queued_unix_ns=queued_unix_ns or entry.queued_unix_ns,
            clock_offset_ns=clock_offset_ns or entry.clock_offset_ns,
            resolved_unix_ns=0,
        )
        settled = _resolved(settled)
        self._store(settled)
        return settled

    def _movable(self, signal_id: str, state: OrderState) -> Entry:
        entry = self.entry(signal_id)
        if entry is None or entry.state not in REACHED_FROM[state]:
            stands = entry.state if entry else "not known"
            raise LedgerError(f"signal {signal_id!r} is {stands}: it can not become {state}")
        return entry

    def _store(self, entry: Entry) -> None:
        row = progress_row(entry)
        columns = ", ".join(f"{name} = ?" for name in row)
        self.database.execute(
            f"UPDATE signal SET {columns} WHERE signal_id = ?", (*row.values(), entry.signal.signal_id)
        )
        self._report(entry)

    def _entries(self, where: str, values: Sequence[object]) -> list[Entry]:
        rows = self.database.execute(f"SELECT {_ENTRY} FROM signal WHERE {where}", values)
        return [entry_of(dict(zip(ENTRY_COLUMNS, row, strict=True))) for row in rows]

    # reports

    def repeat(self, signal_id: str) -> bool:
        """Report again how a signal stands; False: it is not known."""
        entry = self.entry(signal_id)
        if entry is not None:
            self._report(entry)
            return True
        query = "SELECT 1 FROM dropped WHERE digest = ?"
        return self.database.execute(query, (_digest(signal_id),)).fetchone() is not None

    def waiting_reports(self, account: Account, after: int, limit: int) -> list[Report]:
        """The oldest of `account` behind place `after` that were neither acknowledged nor refused."""
        rows = self.database.execute(
            "SELECT report_id, entry, place FROM report"
            " WHERE server = ? AND login = ? AND refused_reason = '' AND place > ? ORDER BY place LIMIT ?",
            (*astuple(account), after, limit),
        )
        return [Report(report_id, entry_of(json.loads(entry)), place) for report_id, entry, place in rows]

    def refused_reports(self) -> list[RefusedReport]:
        rows = self.database.execute(
            "SELECT report_id, entry, refused_reason, refused_message FROM report"
            " WHERE refused_reason <> '' ORDER BY place"
        )
        return [RefusedReport(report_id, entry_of(json.loads(entry)), *refusal) for report_id, entry, *refusal in rows]

    def acknowledge(self, report_ids: Sequence[str], now_unix_ns: int) -> None:
        """The engine has them; a signal whose final state is among them is resolved."""
        for report_id in report_ids:
            rows = self.database.execute(
                "DELETE FROM report WHERE report_id = ? RETURNING entry", (report_id,)
            ).fetchall()
            told = entry_of(json.loads(rows[0][0])) if rows else None
            if told is not None and told.is_final:
                self.database.execute(
                    "UPDATE signal SET resolved_unix_ns = ? WHERE signal_id = ? AND state = ? AND resolved_unix_ns = 0",
                    (now_unix_ns, told.signal.signal_id, told.state),
                )

    def refuse(self, report_id: str, reason: str, message: str) -> None:
        """The engine will never take it: set aside, in nobody's way."""
        self.database.execute(
            "UPDATE report SET refused_reason = ?, refused_message = ? WHERE report_id = ?",
            (reason or "REFUSED", message, report_id),
        )

    def _report(self, entry: Entry) -> None:
        if entry.state in _UNTOLD or entry.is_local:
            return
        signal, report_id = entry.signal, report_id_of(entry)
        cursor = self.database.execute(
            "INSERT OR IGNORE INTO report (report_id, server, login, entry) VALUES (?, ?, ?, ?)",
            (report_id, signal.account.server, signal.account.login, json.dumps(entry_row(entry))),
        )
        if cursor.rowcount:
            assert cursor.lastrowid is not None
            self.reports.append(Report(report_id, entry, cursor.lastrowid))

    # housekeeping

    def drop_resolved(self, before_unix_ns: int, limit: int) -> int:
        """Forget the oldest entries that were resolved before then, but for the digests of their ids; how many."""
        rows = self.database.execute(
            "SELECT signal_id FROM signal WHERE resolved_unix_ns > 0 AND resolved_unix_ns < ?"
            " ORDER BY resolved_unix_ns LIMIT ?",
            (before_unix_ns, limit),
        ).fetchall()
        ids: list[str] = [row[0] for row in rows]
        self.database.executemany("INSERT OR IGNORE INTO dropped VALUES (?)", [(_digest(name),) for name in ids])
        self.database.executemany("DELETE FROM signal WHERE signal_id = ?", [(name,) for name in ids])
        return len(ids)


def _resolved(entry: Entry) -> Entry:
    """Nobody acknowledges what the agent did of its own."""
    if not (entry.is_local and entry.is_final):
        return entry
    return replace(entry, resolved_unix_ns=max(entry.received_unix_ns, entry.result.answered_unix_ns))


def report_id_of(entry: Entry) -> str:
    """One for each state; an order may be filled in part more than once.

    What another ledger had before may have been reported from there in the same state, before it was in doubt here.
    """
    name = f"{entry.signal.signal_id}/{entry.state}"
    if entry.state is OrderState.PARTIALLY_FILLED:
        name += f"/{entry.result.volume}"
    return f"{name}@{entry.received_unix_ns}" if entry.signal.redelivered else name


def _merged(old: Result, new: Result) -> Result:
    return replace(
        new,
        ticket=new.ticket or old.ticket,
        deal=new.deal or old.deal,
        volume=new.volume or old.volume,
        price=new.price or old.price,
        called_unix_ns=new.called_unix_ns or old.called_unix_ns,
        answered_unix_ns=new.answered_unix_ns or old.answered_unix_ns,
    )


def _digest(signal_id: str) -> bytes:
    return blake2b(signal_id.encode(), digest_size=16).digest()
