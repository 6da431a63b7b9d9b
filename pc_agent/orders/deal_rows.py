"""Deals and holdings as rows, read and written in a transaction of the ledger."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from decimal import Decimal

from mesh.orders import ENTRIES
from pc_agent.domain.attribution import Attribution, Cause, Claim, External, Holding
from pc_agent.domain.books import BookDeal
from pc_agent.domain.orders import Account, Mark
from pc_agent.orders.ledger_transaction import Transaction

_EXTERNAL = "row, moved, cause, signal_id"
_COLUMNS = f"server, login, deal, time_msc, {_EXTERNAL}, marked, own, waiting"
_DEAL = tuple(field.name for field in fields(BookDeal))


@dataclass(frozen=True, slots=True)
class RefusedDeal:
    """One that the engine will never take: kept for a person."""

    ticket: int
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class DealRows:
    """One account's, in one transaction."""

    transaction: Transaction
    account: Account

    @property
    def _key(self) -> tuple[str, int]:
        return self.account.server, self.account.login

    def is_known(self, deal: BookDeal) -> bool:
        return bool(self._one("SELECT 1 FROM deal WHERE server = ? AND login = ? AND deal = ?", str(deal.ticket)))

    def is_unmarked(self, deal: BookDeal) -> bool:
        """It is known, but not whose it is."""
        query = "SELECT 1 FROM deal WHERE server = ? AND login = ? AND deal = ? AND marked = ''"
        return bool(self._one(query, str(deal.ticket)))

    def mark(self, deal: BookDeal, signal_id: str) -> None:
        """It is that signal's own."""
        self.transaction.database.execute(
            "UPDATE deal SET marked = ?, own = ? WHERE server = ? AND login = ? AND deal = ?",
            (signal_id, signal_id, *self._key, str(deal.ticket)),
        )

    def claim(self, deal: BookDeal) -> Claim | None:
        """The signal whose mark `deal` bears."""
        # Ours have 63 bits, and SQLite no more; others may have 64.
        magic = deal.magic if deal.magic < 2**63 else 0
        if not magic and not deal.comment:
            return None
        entry = self.transaction.by_mark(self.account, Mark(magic, deal.comment))
        if entry is None:
            return None
        seen = sum((abs(own.signed) for own in self.own(entry.signal.signal_id)), Decimal(0))
        return Claim(entry.signal, entry.state, entry.result.volume, seen)

    def opener(self, position: int) -> str:
        """Whose order opened it, as far as the ledger knows."""
        entries = self.transaction.by_ticket(self.account, position)
        return next((entry.signal.signal_id for entry in entries if entry.signal.kind in ENTRIES), "")

    def marked(self, signal_id: str) -> list[BookDeal]:
        """Deals that bear the mark of `signal_id`, stops included."""
        return self._deals("marked = ? AND marked <> ''", signal_id)

    def own(self, signal_id: str) -> list[BookDeal]:
        """Fills that the report of `signal_id` tells of."""
        return self._deals("marked = ? AND marked <> '' AND own = marked", signal_id)

    def own_of_dead(self, since_msc: int) -> list[str]:
        """Signals that are called dead although deals since then are theirs."""
        rows = self.transaction.database.execute(
            "SELECT DISTINCT signal.signal_id FROM deal JOIN signal ON signal.signal_id = deal.own"
            " WHERE deal.server = ? AND deal.login = ? AND deal.time_msc >= ?"
            " AND signal.state IN ('REJECTED', 'EXPIRED', 'CANCELED', 'NOT_EXECUTED')",
            (*self._key, since_msc),
        )
        return [row[0] for row in rows]

    def holding(self, position: int) -> Holding | None:
        return self._holdings("AND position = ?", str(position)).get(position)

    def open_holdings(self) -> dict[int, Holding]:
        return self._holdings("AND (total <> '0' OR ours <> '0')")

    def keep(self, deal: BookDeal, marked: str, attribution: Attribution | None) -> None:
        """`attribution` None: a deal that moves no lots."""
        external = attribution.external if attribution else None
        own = attribution.own if attribution else ""
        self._insert(deal, marked, own, external)
        if attribution:
            self.hold(attribution.holding, deal.time_msc)

    def keep_external(self, external: External) -> None:
        self._insert(external.deal, "", "", external)

    def hold(self, holding: Holding, changed_msc: int) -> None:
        self.transaction.database.execute(
            "INSERT OR REPLACE INTO holding VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *self._key, str(holding.position), holding.symbol, holding.owner, holding.sharer,
                str(holding.total.normalize()), str(holding.ours.normalize()), changed_msc,
            ),
        )  # fmt: skip

    def waiting(self, limit: int) -> list[External]:
        """The oldest that the engine is to be told of."""
        return self._externals("waiting = 1 ORDER BY time_msc LIMIT ?", limit)

    def count_waiting(self) -> int:
        row = self._one("SELECT count(*) FROM deal WHERE server = ? AND login = ? AND waiting = 1")
        return int(str(row[0])) if row else 0

    def externals_since(self, time_msc: int) -> list[External]:
        return self._externals("cause <> '' AND time_msc >= ? ORDER BY time_msc", time_msc)

    def acknowledge(self, deals: Iterable[int]) -> None:
        self.transaction.database.executemany(
            "UPDATE deal SET waiting = 0 WHERE server = ? AND login = ? AND deal = ?",
            [(*self._key, str(deal)) for deal in deals],
        )

    def refuse(self, refused: RefusedDeal) -> None:
        """Set aside, in nobody's way."""
        self.transaction.database.execute(
            "UPDATE deal SET waiting = 0, refused_reason = ?, refused_message = ?"
            " WHERE server = ? AND login = ? AND deal = ?",
            (refused.reason or "REFUSED", refused.message, *self._key, str(refused.ticket)),
        )

    def refused(self, limit: int) -> list[RefusedDeal]:
        """The oldest."""
        rows = self.transaction.database.execute(
            "SELECT deal, refused_reason, refused_message FROM deal"
            " WHERE server = ? AND login = ? AND refused_reason <> '' ORDER BY time_msc LIMIT ?",
            (*self._key, limit),
        )
        return [RefusedDeal(int(deal), reason, message) for deal, reason, message in rows]

    def cursor(self) -> int:
        row = self._one("SELECT time_s FROM deal_cursor WHERE server = ? AND login = ?")
        return int(str(row[0])) if row else 0

    def set_cursor(self, time_s: int) -> None:
        self.transaction.database.execute("INSERT OR REPLACE INTO deal_cursor VALUES (?, ?, ?)", (*self._key, time_s))

    def forget(self, before_msc: int) -> None:
        """Drop what is that old and over."""
        old = (*self._key, before_msc)
        self.transaction.database.execute(
            "DELETE FROM deal WHERE server = ? AND login = ? AND time_msc < ? AND waiting = 0", old
        )
        self.transaction.database.execute(
            "DELETE FROM holding WHERE server = ? AND login = ? AND changed_msc < ? AND total = '0' AND ours = '0'",
            old,
        )

    def _insert(self, deal: BookDeal, marked: str, own: str, external: External | None) -> None:
        told = (str(external.moved), external.cause, external.signal_id) if external else ("0", "", "")
        self.transaction.database.execute(
            f"INSERT INTO deal ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *self._key, str(deal.ticket), deal.time_msc, _row_of(deal), *told, marked, own,
                int(external is not None),
            ),
        )  # fmt: skip

    def _deals(self, where: str, *values: object) -> list[BookDeal]:
        query = f"SELECT row FROM deal WHERE server = ? AND login = ? AND {where}"
        rows = self.transaction.database.execute(query, (*self._key, *values))
        return [_deal_of(row[0]) for row in rows]

    def _externals(self, where: str, *values: object) -> list[External]:
        query = f"SELECT {_EXTERNAL} FROM deal WHERE server = ? AND login = ? AND {where}"
        rows = self.transaction.database.execute(query, (*self._key, *values))
        return [External(_deal_of(row), Decimal(moved), Cause(cause), whose) for row, moved, cause, whose in rows]

    def _holdings(self, where: str, *values: object) -> dict[int, Holding]:
        query = (
            f"SELECT position, symbol, owner, sharer, total, ours FROM holding WHERE server = ? AND login = ? {where}"
        )
        rows = self.transaction.database.execute(query, (*self._key, *values))
        return {
            int(position): Holding(int(position), symbol, owner, sharer, Decimal(total), Decimal(ours))
            for position, symbol, owner, sharer, total, ours in rows
        }

    def _one(self, query: str, *values: object) -> Sequence[object] | None:
        row: Sequence[object] | None = self.transaction.database.execute(query, (*self._key, *values)).fetchone()
        return row


def _row_of(deal: BookDeal) -> str:
    return json.dumps([getattr(deal, name) for name in _DEAL])


def _deal_of(row: str) -> BookDeal:
    return BookDeal(*json.loads(row))
