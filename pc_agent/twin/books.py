"""The account's books: orders, deals and positions in one SQLite file of the terminal's folder."""

import sqlite3
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypeVar

from pc_agent.twin.constants import DEAL_TYPE_BALANCE
from pc_agent.twin.domain.dealing import Execution
from pc_agent.twin.results import TradeDeal, TradeOrder, TradePosition

R = TypeVar("R", TradeOrder, TradeDeal, TradePosition)

_SQL_TYPE = {int: "INTEGER", float: "REAL", str: "TEXT"}


class ForeignFolderError(Exception):
    """The folder holds the books of another terminal or account."""


class Books:
    """Everything committed here is on the disk before the call returns."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        for table, row in (("orders", TradeOrder), ("deals", TradeDeal), ("positions", TradePosition)):
            self._db.execute(f"CREATE TABLE IF NOT EXISTS {table} ({_columns(row)})")
        self._db.execute("CREATE INDEX IF NOT EXISTS deals_time ON deals (time)")
        self._db.execute("CREATE INDEX IF NOT EXISTS orders_time ON orders (time_done)")
        self._db.execute("CREATE TABLE IF NOT EXISTS owner (server TEXT NOT NULL, login INTEGER NOT NULL)")
        self._positions = {position.symbol: position for position in self._read(TradePosition, "positions", "1", ())}
        (total,) = self._db.execute("SELECT total(profit + commission + swap + fee) FROM deals").fetchone()
        self._balance = float(total)
        self._last_order = self._highest("orders")
        self._last_deal = self._highest("deals")

    def open_account(self, server: str, login: int, deposit: TradeDeal) -> None:
        """Write the first deal of a new folder.

        Raises:
            ForeignFolderError: the books are those of another server or account.
        """
        owner = self._db.execute("SELECT server, login FROM owner").fetchone()
        if owner is not None and owner != (server, login):
            raise ForeignFolderError(
                f"this folder belongs to account {owner[1]} at {owner[0]}, not {login} at {server}"
            )
        if owner is None:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.execute("INSERT INTO owner VALUES (?, ?)", (server, login))
            self._insert("deals", deposit)
            self._db.execute("COMMIT")
            self._balance, self._last_deal = deposit.profit, deposit.ticket

    @property
    def balance(self) -> float:
        return round(self._balance, 2)

    @property
    def positions(self) -> Mapping[str, TradePosition]:
        """Open positions by symbol, as they stood at their last deal."""
        return self._positions

    def next_tickets(self) -> tuple[int, int]:
        """The tickets that the next order and its deal will bear."""
        return self._last_order + 1, self._last_deal + 1

    def commit(self, execution: Execution) -> None:
        """Write one execution, whole or not at all."""
        symbol = execution.deal.symbol
        self._db.execute("BEGIN IMMEDIATE")
        try:
            self._insert("orders", execution.order)
            self._insert("deals", execution.deal)
            self._db.execute("DELETE FROM positions WHERE symbol = ?", (symbol,))
            if execution.position is not None:
                self._insert("positions", execution.position)
            self._db.execute("COMMIT")
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._last_order, self._last_deal = execution.order.ticket, execution.deal.ticket
        deal = execution.deal
        self._balance += deal.profit + deal.commission + deal.swap + deal.fee
        if execution.position is not None:
            self._positions[symbol] = execution.position
        else:
            self._positions.pop(symbol, None)

    def orders_between(self, since: int, until: int) -> list[TradeOrder]:
        """Orders done from second `since` to `until`, both included."""
        return self._read(TradeOrder, "orders", "time_done BETWEEN ? AND ?", (since, until))

    def orders_of(self, *, ticket: int | None = None, position: int | None = None) -> list[TradeOrder]:
        """The order `ticket`, or every order of `position`."""
        return self._read(TradeOrder, "orders", *_equal(ticket=ticket, position_id=position))

    def deals_between(self, since: int, until: int) -> list[TradeDeal]:
        """Deals made from second `since` to `until`, both included."""
        return self._read(TradeDeal, "deals", "time BETWEEN ? AND ?", (since, until))

    def deals_of(self, *, order: int | None = None, position: int | None = None) -> list[TradeDeal]:
        """The deals of one order, or of one position."""
        return self._read(TradeDeal, "deals", *_equal(order=order, position_id=position))

    def count_deals(self, magic: int | None) -> int:
        """How many trades were made; with `magic`, how many by it."""
        where, values = ("magic = ?", (_signed(magic),)) if magic is not None else ("1", ())
        query = f"SELECT count(*) FROM deals WHERE type <> {DEAL_TYPE_BALANCE} AND {where}"
        (count,) = self._db.execute(query, values).fetchone()
        return int(count)

    def close(self) -> None:
        self._db.close()

    def _highest(self, table: str) -> int:
        (ticket,) = self._db.execute(f"SELECT coalesce(max(ticket), 0) FROM {table}").fetchone()
        return int(ticket)

    def _insert(self, table: str, row: TradeOrder | TradeDeal | TradePosition) -> None:
        values = row._replace(magic=_signed(row.magic))
        self._db.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(values))})", values)

    def _read(self, kind: type[R], table: str, where: str, values: Iterable[int]) -> list[R]:
        rows = self._db.execute(f"SELECT * FROM {table} WHERE {where} ORDER BY ticket", tuple(values))
        found = (kind(*row) for row in rows)
        return [row._replace(magic=row.magic % 2**64) for row in found]


def _columns(row: type[TradeOrder | TradeDeal | TradePosition]) -> str:
    types: dict[str, type] = row.__annotations__
    columns = (f'"{name}" {_SQL_TYPE[kind]} NOT NULL' for name, kind in types.items())
    return ", ".join(columns).replace('"ticket" INTEGER NOT NULL', '"ticket" INTEGER PRIMARY KEY')


def _equal(**columns: int | None) -> tuple[str, tuple[int, ...]]:
    wanted = {name: _signed(value) for name, value in columns.items() if value is not None}
    return " AND ".join(f'"{name}" = ?' for name in wanted) or "1", tuple(wanted.values())


def _signed(number: int) -> int:
    """A terminal's 64-bit numbers are unsigned, SQLite's are not."""
    return number - 2**64 if number >= 2**63 else number
