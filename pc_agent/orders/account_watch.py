"""Compares ledger, terminal and engine: a cheap look each second and behind each outcome that moved the books, a longer
one at start, after each reconnect and every so often. What differs is logged when it changes, and told with the
account's snapshot.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Protocol

from suho.trading.v1 import agent_link_pb2

from mesh.clock import unix_ms
from mesh.log import get_logger
from pc_agent.domain.attribution import Holding
from pc_agent.domain.books import BookOrder, BookPosition
from pc_agent.domain.differences import TOLD_FOR_MS, Difference, Lasting, Sides, differences
from pc_agent.domain.orders import Account, Entry, Mark, OrderState
from pc_agent.domain.reconciliation import is_marked
from pc_agent.orders.account_books import AccountBooks, Look
from pc_agent.orders.account_messages import snapshot_of
from pc_agent.orders.deal_ledger import DealLedger
from pc_agent.orders.ledger import Ledger
from pc_agent.orders.reconciler import Reconciler

log = get_logger(__name__)

_LOOK_S = 1.0
# However much happens, so long the terminal is left to its orders between two looks.
_PAUSE_S = 0.2
# Outcomes that leave the books as they were.
_NEVER_WAS = frozenset({OrderState.REJECTED, OrderState.EXPIRED, OrderState.NOT_EXECUTED})
# How far behind the newest known deal looks begin: each second, every so often, and at start or after a reconnect.
_BACK_S, _FAR_BACK_S, _FIRST_BACK_S = 5, 600, 86_400


class WatchedTerminal(Protocol):
    """May its books be read now?"""

    @property
    def connected(self) -> bool: ...


class AccountWatch:
    """One account's."""

    def __init__(
        self,
        account: Account,
        ledger: Ledger,
        deals: DealLedger,
        books: AccountBooks,
        reconciler: Reconciler,
        terminal: WatchedTerminal,
        interval_s: Callable[[], float],
        looked: Callable[[Look], None],
    ) -> None:
        # Set once everything that was not final has been compared with the books: before that nothing is sent.
        self.compared = asyncio.Event()
        self.snapshot: agent_link_pb2.AccountSnapshot | None = None
        self.changed = asyncio.Event()
        self.holdings: Mapping[int, Holding] = {}
        self.differences: tuple[tuple[Difference, int], ...] = ()
        self._account = account
        self._ledger = ledger
        self._deals = deals
        self._books = books
        self._reconciler = reconciler
        self._terminal = terminal
        self._interval_s = interval_s
        self._looked = looked
        self._lasting = Lasting()
        self._known_orders: dict[int, str] = {}
        # What was compared last, and of which look: whose each is, is known of these and of no newer ones.
        self._compared = 0
        self._deals_shown = 0
        self._positions: tuple[BookPosition, ...] = ()
        self._orders: tuple[BookOrder, ...] = ()
        self._engine: Mapping[str, Decimal] | None = None
        self._far_at = float("-inf")
        self._was_connected = False
        self._nudged = asyncio.Event()

    def engine_counts(self, exposures: Mapping[str, Decimal] | None) -> None:
        """What the engine says that it counts; None: it is gone, or has just come back."""
        self._engine = exposures

    def look_soon(self, *, far: bool = False) -> None:
        """Something happened that the books will show; `far`: somebody was away."""
        if far:
            self._far_at = float("-inf")
        self._nudged.set()

    def ended(self, entry: Entry) -> None:
        """Hears of outcomes: what one did to the books is seen and told soon."""
        if entry.state not in _NEVER_WAS:
            self.look_soon()

    async def run(self) -> None:
        """For ever."""
        while True:
            # What happens from here on may be missing in what is read.
            self._nudged.clear()
            connected = self._terminal.connected
            if connected and not self._was_connected:
                self._far_at = float("-inf")
            self._was_connected = connected
            if connected:
                await self.look()
            await asyncio.sleep(_PAUSE_S)
            try:
                async with asyncio.timeout(_LOOK_S - _PAUSE_S):
                    await self._nudged.wait()
            except TimeoutError:
                continue

    async def look(self) -> bool:
        """Once: read, compare, tell; False: the books can not be read."""
        far = time.monotonic() - self._far_at >= self._interval_s()
        back_s = _BACK_S if not far else _FAR_BACK_S if self._far_at > 0 else _FIRST_BACK_S
        look = await self._books.look(back_s)
        if look is None:
            return False
        if far:
            self._far_at = time.monotonic()
            server_ms = look.server_s * 1000
            await self._deals.raise_dead(server_ms - _FAR_BACK_S * 1000)
            await self._deals.forget(server_ms)
        await self._reconciler.look_at_pending()
        if not self.compared.is_set():
            await self._reconciler.look_at_doubts()
        await self._compare(look)
        self.compared.set()
        return True

    async def read(self) -> None:
        """What is open now, for `holds`."""
        await self._books.look(_BACK_S)

    def holds(self, mark: Mark) -> bool:
        """An open position or a pending order bears it."""
        books = self._books.newest.books if self._books.newest else None
        rows: list[BookPosition | BookOrder] = [*books.positions, *books.orders] if books else []
        return any(is_marked(row, mark) for row in rows)

    def has_shown(self, deal: int) -> bool:
        """What was compared last shows what the deal did; who only reads the books may have come upon newer ones."""
        return self._deals.has(deal, self._deals_shown)

    def ours(self) -> list[BookPosition]:
        """Open positions that are ours."""
        return [one for one in self._positions if self._owner(one)]

    def foreign(self) -> list[BookPosition]:
        """Open positions that nobody here asked for."""
        return [one for one in self._positions if not self._owner(one)]

    def our_orders(self) -> list[BookOrder]:
        """Pending orders at the broker that are ours."""
        return [one for one in self._orders if one.ticket in self._known_orders]

    def foreign_orders(self) -> list[BookOrder]:
        return [one for one in self._orders if one.ticket not in self._known_orders]

    def _owner(self, position: BookPosition) -> str:
        holding = self.holdings.get(position.identifier)
        return holding.owner if holding else ""

    async def _compare(self, look: Look) -> None:
        """Unless a later one was compared meanwhile: an older one would say that what has gone is there still."""
        books = look.books
        holdings, known = await self._deals.holdings(), await self._know(books.orders)
        externals = tuple(await self._deals.externals_since(look.server_s * 1000 - TOLD_FOR_MS))
        engine = self._engine if await self._engine_knows_all() else None
        if look.number < self._compared:
            return
        self._compared, self._deals_shown = look.number, look.deals
        self._looked(look)
        self.holdings, self._known_orders = holdings, known
        self._positions, self._orders = books.positions, books.orders
        pending, unresolved = self._reconciler.pending, self._reconciler.unresolved
        sides = Sides(books.positions, books.orders, holdings, known, pending, unresolved, externals, engine)
        found = tuple(self._lasting.note(differences(sides), unix_ms()))
        self._log(found)
        self.differences = found
        snapshot = snapshot_of(look, self.holdings, self._known_orders, found)
        if not _same(self.snapshot, snapshot):
            self.snapshot = snapshot
            self.changed.set()

    async def _know(self, orders: tuple[BookOrder, ...]) -> dict[int, str]:
        """Which signal each working order came from; foreign ones are left out."""
        known = {}
        for order in orders:
            name = self._known_orders.get(order.ticket)
            if name is None and 0 < order.magic < 2**63:
                entry = await self._ledger.by_mark(self._account, Mark(order.magic, order.comment))
                name = entry.signal.signal_id if entry else None
            if name:
                known[order.ticket] = name
        return known

    async def _engine_knows_all(self) -> bool:
        """What is still on its way to the engine is no difference."""
        if self._reconciler.doubts:
            return False
        return not await self._ledger.reports(self._account, 1) and not await self._deals.waiting(1)

    def _log(self, found: tuple[tuple[Difference, int], ...]) -> None:
        before = {one for one, _ in self.differences}
        now = {one for one, _ in found}
        for one in now - before:
            log.warning("difference", kind=one.kind, symbol=one.symbol, ticket=one.ticket, message=one.message)
        for one in before - now:
            log.info("difference is over", kind=one.kind, symbol=one.symbol, ticket=one.ticket)


def _same(before: agent_link_pb2.AccountSnapshot | None, now: agent_link_pb2.AccountSnapshot) -> bool:
    if before is None:
        return False
    again = agent_link_pb2.AccountSnapshot()
    again.CopyFrom(now)
    again.taken_unix_ns = before.taken_unix_ns
    return again == before
