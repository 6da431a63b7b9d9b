"""The account's books: orders, deals, positions and how far the market has got, in one SQLite file."""

import sqlite3
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, TypeVar

from pc_agent.twin.constants import DEAL_TYPE_BALANCE
from pc_agent.twin.domain.dealing import Change
from pc_agent.twin.results import TradeDeal, TradeOrder, TradePosition

R = TypeVar("R", TradeOrder, TradeDeal, TradePosition)

Durability = Literal["process", "power"]

_SQL_TYPE = {int: "INTEGER", float: "REAL", str: "TEXT"}
_SETTLE_AFTER = 100
# From one second to another, both included.
_ORDERS_BETWEEN, _DEALS_BETWEEN = "time_done BETWEEN ? AND ?", "time BETWEEN ? AND ?"
_TABLES = {"orders": TradeOrder, "working": TradeOrder, "deals": TradeDeal, "positions": TradePosition}


class ForeignFolderError(Exception):
    """The folder holds the books of another terminal or account."""


class Books:
    """What is committed here survives the death of the process, with durability "power" that of the machine too.

    Either way it is one history: no deal is without the ticks that made it, no tick without the deals that it made.
    """

    def __init__(self, path: Path, durability: Durability = "process") -> None:
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        # Moving the log into the file waits for the disk: it is done aside, by `settle`.
        self._db.execute("PRAGMA wal_autocheckpoint = 0")
        self._aside = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._unsettled = 0  # commits since
        self._synchronous = "FULL" if durability == "power" else "NORMAL"
        self._create()
        self.positions: dict[int, TradePosition] = {}  # by ticket
        self.working: dict[int, TradeOrder] = {}
        self._held: dict[str, dict[int, TradePosition]] = {}  # by symbol
        for position in self._read(TradePosition, "positions", "1", ()):
            self._keep(position)
        for order in self._read(TradeOrder, "working", "1", ()):
            self.working[order.ticket] = order
        self.revision = 0  # of positions and working orders
        (total,) = self._db.execute("SELECT total(profit + commission + swap + fee) FROM deals").fetchone()
        self._balance = float(total)
        self._last_order = max(self._highest("orders"), self._highest("working"))
        self._last_deal = self._highest("deals")
        self.released_msc, self.charged_to_day = self._db.execute(
            "SELECT released_msc, charged_to_day FROM progress"
        ).fetchone()
        self._is_gathering = False

    def _create(self) -> None:
        for table, row in _TABLES.items():
            self._db.execute(f"CREATE TABLE IF NOT EXISTS {table} ({_columns(row)})")
        for table, column in (("deals", "time"), ("deals", '"order"'), ("deals", "position_id"), ("deals", "magic")):
            self._db.execute(f"CREATE INDEX IF NOT EXISTS {table}_{column.strip(chr(34))} ON {table} ({column})")
        self._db.execute("CREATE INDEX IF NOT EXISTS orders_time ON orders (time_done)")
        self._db.execute("CREATE INDEX IF NOT EXISTS orders_position ON orders (position_id)")
        self._db.execute("CREATE TABLE IF NOT EXISTS owner (server TEXT NOT NULL, login INTEGER NOT NULL)")
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS progress (id INTEGER PRIMARY KEY CHECK (id = 1),"
            " released_msc INTEGER NOT NULL, charged_to_day INTEGER NOT NULL)"
        )
        self._db.execute("INSERT OR IGNORE INTO progress VALUES (1, 0, 0)")

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
            with self._transaction():
                self._db.execute("INSERT INTO owner VALUES (?, ?)", (server, login))
                self._insert("deals", deposit)
            self._balance, self._last_deal = deposit.profit, deposit.ticket

    @property
    def balance(self) -> float:
        return round(self._balance, 2)

    def positions_of(self, symbol: str) -> tuple[TradePosition, ...]:
        """The oldest first."""
        return tuple(self._held.get(symbol, {}).values())

    def symbols_held(self) -> Collection[str]:
        return self._held.keys()

    def working_of(self, symbol: str) -> tuple[TradeOrder, ...]:
        return tuple(order for order in self.working.values() if order.symbol == symbol)

    def next_tickets(self) -> tuple[int, int]:
        """The tickets that the next order and its deal will bear."""
        return self._last_order + 1, self._last_deal + 1

    def knows_order(self, ticket: int) -> bool:
        """Whether there ever was such an order."""
        return ticket in self.working or bool(self.orders_of(ticket=ticket))

    # Changes

    @contextmanager
    def together(self) -> Iterator[None]:
        """All that is written inside is written, or none of it."""
        self._is_gathering = True
        try:
            yield
            self._end("COMMIT")
        finally:
            self._is_gathering = False
            self._end("ROLLBACK")  # of what failed; what was committed is

    def commit(self, change: Change) -> None:
        """Write one change, whole or not at all."""
        with self._transaction():
            for order in change.done:
                self._db.execute("DELETE FROM working WHERE ticket = ?", (order.ticket,))
                self._insert("orders", order)
            for order in change.working:
                self._insert("working", order)
            for deal in change.deals:
                self._insert("deals", deal)
            for ticket in change.closed:
                self._db.execute("DELETE FROM positions WHERE ticket = ?", (ticket,))
            for position in change.positions:
                self._insert("positions", position)
        self._apply(change)

    def charge(self, positions: Iterable[TradePosition], to_day: int) -> None:
        """Positions with the swaps of all nights up to server day `to_day`."""
        charged = tuple(positions)
        with self._transaction():
            for position in charged:
                self._insert("positions", position)
            self._db.execute("UPDATE progress SET charged_to_day = ?", (to_day,))
        self._apply(Change(positions=charged))
        self.charged_to_day = to_day

    def release(self, time_msc: int) -> None:
        """The market has got so far, and what its ticks did is written."""
        with self._transaction(lasts=False):
            self._db.execute("UPDATE progress SET released_msc = ?", (time_msc,))
        self.released_msc = time_msc

    def settle(self) -> None:
        """Keep the log short; from any thread, nobody waits for it."""
        if self._unsettled >= _SETTLE_AFTER:
            self._unsettled = 0
            self._aside.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def _apply(self, change: Change) -> None:
        for order in change.done:
            self.working.pop(order.ticket, None)
        for order in change.working:
            self.working[order.ticket] = order
        for order in (*change.done, *change.working):
            self._last_order = max(self._last_order, order.ticket)
        for deal in change.deals:
            self._balance += deal.profit + deal.commission + deal.swap + deal.fee
            self._last_deal = max(self._last_deal, deal.ticket)
        for ticket in change.closed:
            self._drop(self.positions.pop(ticket))
        for position in change.positions:
            self._keep(position)
        self.revision += 1

    def _keep(self, position: TradePosition) -> None:
        self.positions[position.ticket] = position
        self._held.setdefault(position.symbol, {})[position.ticket] = position

    def _drop(self, position: TradePosition) -> None:
        of_symbol = self._held[position.symbol]
        del of_symbol[position.ticket]
        if not of_symbol:
            del self._held[position.symbol]

    @contextmanager
    def _transaction(self, lasts: bool = True) -> Iterator[None]:
        """Join the one that gathers, or be one; what need not outlast a power failure by itself does not wait for
        the disk: it gets there with the next that must."""
        if not self._db.in_transaction:
            self._db.execute(f"PRAGMA synchronous = {self._synchronous if lasts else 'NORMAL'}")
            self._db.execute("BEGIN IMMEDIATE")
        if self._is_gathering:
            yield
            return
        try:
            yield
            self._end("COMMIT")
        finally:
            self._end("ROLLBACK")

    def _end(self, how: str) -> None:
        if self._db.in_transaction:
            self._db.execute(how)
            self._unsettled += 1

    # Reads

    def orders_between(self, since: int, until: int) -> list[TradeOrder]:
        """Orders done from second `since` to `until`, both included."""
        return self._read(TradeOrder, "orders", _ORDERS_BETWEEN, (since, until))

    def count_orders_between(self, since: int, until: int) -> int:
        return self._count("orders", _ORDERS_BETWEEN, (since, until))

    def orders_of(self, *, ticket: int | None = None, position: int | None = None) -> list[TradeOrder]:
        """The done order `ticket`, or every one of `position`."""
        return self._read(TradeOrder, "orders", *_equal(ticket=ticket, position_id=position))

    def deals_between(self, since: int, until: int) -> list[TradeDeal]:
        """Deals made from second `since` to `until`, both included."""
        return self._read(TradeDeal, "deals", _DEALS_BETWEEN, (since, until))

    def count_deals_between(self, since: int, until: int) -> int:
        return self._count("deals", _DEALS_BETWEEN, (since, until))

    def deals_of(self, *, order: int | None = None, position: int | None = None) -> list[TradeDeal]:
        """The deals of one order, or of one position."""
        return self._read(TradeDeal, "deals", *_equal(order=order, position_id=position))

    def count_deals(self, magic: int | None) -> int:
        """How many trades were made; with `magic`, how many by it."""
        where, values = ("magic = ?", (_signed(magic),)) if magic is not None else ("1", ())
        return self._count("deals", f"type <> {DEAL_TYPE_BALANCE} AND {where}", values)

    def close(self) -> None:
        self._aside.close()
        self._db.close()

    def _highest(self, table: str) -> int:
        (ticket,) = self._db.execute(f"SELECT coalesce(max(ticket), 0) FROM {table}").fetchone()
        return int(ticket)

    def _insert(self, table: str, row: TradeOrder | TradeDeal | TradePosition) -> None:
        values = row._replace(magic=_signed(row.magic))
        self._db.execute(f"INSERT OR REPLACE INTO {table} VALUES ({', '.join('?' * len(values))})", values)

    def _count(self, table: str, where: str, values: tuple[int, ...]) -> int:
        (count,) = self._db.execute(f"SELECT count(*) FROM {table} WHERE {where}", values).fetchone()
        return int(count)

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
