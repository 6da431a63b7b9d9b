"""Orders in doubt, until the terminal's books tell what became of them, their symbols frozen; pending orders, until
the broker is done with them.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from mesh.clock import boot_ns, unix_ms
from mesh.log import get_logger
from mesh.orders import Kind
from pc_agent.domain.books import BookDeal, Books
from pc_agent.domain.orders import Entry, OrderState, Result, mark_of
from pc_agent.domain.reconciliation import ended, resolve
from pc_agent.domain.server_clock import ServerClock
from pc_agent.orders.account_books import AccountBooks
from pc_agent.orders.deal_ledger import DealLedger
from pc_agent.orders.ledger import Ledger, Transaction
from pc_agent.orders.whole_books import SERVER_MARGIN_S, BookTerminal, books_with, past_orders, whole_books
from pc_agent.terminal.messages import ReadBooks

log = get_logger(__name__)

_LOOK_AGAIN_S = 0.5
# So long it is looked that often; then a person is called, and looks are rarer.
_QUICK_S = 30.0
_LATER_S = 5.0
# How far behind the newest deal a quick look begins.
_BACK_S = 5
_MOST_TICKETS = 100


class NotInDoubtError(Exception):
    """A person speaks of an order that nobody doubts."""


@dataclass(slots=True)
class _Doubt:
    entry: Entry
    since: float
    shouted: bool = False
    # When all of the past was looked through last.
    deep_at: float = float("-inf")


class Reconciler:
    """One account's."""

    def __init__(
        self,
        ledger: Ledger,
        deals: DealLedger,
        books: AccountBooks,
        terminal: BookTerminal,
        clock: ServerClock,
        settle_s: float,
        settled: Callable[[Entry], None],
    ) -> None:
        self._ledger = ledger
        self._deals = deals
        self._books = books
        self._terminal = terminal
        self._clock = clock
        self._settle_s = settle_s
        # Hears what became of each.
        self._settled = settled
        self._doubts: dict[str, _Doubt] = {}
        self._pending: dict[str, Entry] = {}
        self._any = asyncio.Event()
        books.settled = self._told

    def doubt(self, entry: Entry) -> None:
        """It may have been executed, and the ledger says so: find out."""
        self._doubts[entry.signal.signal_id] = _Doubt(entry, time.monotonic())
        self._any.set()

    def watch(self, entry: Entry) -> None:
        """A pending order works at the broker: see what comes of it."""
        self._pending[entry.signal.signal_id] = entry

    def is_frozen(self, symbol: str) -> bool:
        """Nothing is sent on it until its doubt is resolved."""
        return any(doubt.entry.signal.symbol == symbol for doubt in self._doubts.values())

    @property
    def doubts(self) -> tuple[Entry, ...]:
        return tuple(doubt.entry for doubt in self._doubts.values())

    @property
    def unresolved(self) -> tuple[Entry, ...]:
        """Doubts that have lasted for so long that a person was called."""
        return tuple(doubt.entry for doubt in self._doubts.values() if doubt.shouted)

    @property
    def pending(self) -> tuple[Entry, ...]:
        return tuple(self._pending.values())

    async def run(self) -> None:
        """Look as long as anything is in doubt, for ever."""
        while True:
            await self._any.wait()
            await self.look_at_doubts()
            self._shout()
            if self._doubts:
                young = any(not doubt.shouted for doubt in self._doubts.values())
                await asyncio.sleep(_LOOK_AGAIN_S if young else _LATER_S)
            else:
                self._any.clear()

    async def look_at_doubts(self) -> None:
        """Once."""
        look = await self._books.look(_BACK_S) if self._doubts else None
        if look is None:
            return
        for doubt in list(self._doubts.values()):
            signal = doubt.entry.signal
            entry = await self._ledger.entry(signal.signal_id)
            if entry is None or entry.state is not OrderState.UNKNOWN:
                self._over(entry or doubt.entry)
                continue
            shown = replace(look.books, deals=await self._shown(doubt.entry))
            result = resolve(signal, mark_of(signal.signal_id), shown, None, self._settle_s, self._books.ahead_s())
            result = result or await self._look_deep(doubt, look.books)
            if result:
                await self._settle(entry, result)

    async def look_at_pending(self) -> None:
        """What became of pending orders that work no more; their fills are the deal ledger's to write."""
        look = self._books.newest
        working = {order.ticket for order in look.books.orders} if look else set()
        gone = [entry for entry in self._pending.values() if entry.result.ticket not in working][:_MOST_TICKETS]
        if look is None or not gone:
            return
        for entry in gone:  # those that the past does not show let others go first the next time
            self._pending[entry.signal.signal_id] = self._pending.pop(entry.signal.signal_id)
        past = await past_orders(self._terminal, [entry.result.ticket for entry in gone])
        for entry in gone:
            now = await self._ledger.entry(entry.signal.signal_id)
            if now is None or now.is_final:
                self._over(now or entry)
                continue
            order = past.get(now.result.ticket)
            if order is None:
                continue
            deals = await self._deals.marked(now.signal.signal_id)
            remover = await self._remover(now)
            if result := ended(now, order, deals, remover):
                await self._settle(now, result)

    async def _remover(self, entry: Entry) -> str:
        account, ticket = entry.signal.account, entry.result.ticket
        return await self._ledger.run(lambda transaction: transaction.remover(account, ticket))

    async def resolve_by_hand(self, signal_id: str, result: Result) -> None:
        """A person has seen for himself what became of it.

        Raises:
            NotInDoubtError
        """
        doubt = self._doubts.get(signal_id)
        entry = await self._ledger.entry(signal_id)
        if doubt is None or entry is None or entry.state is not OrderState.UNKNOWN:
            stands = f"it is {entry.state}" if entry else "nobody here knows it"
            raise NotInDoubtError(f"signal {signal_id!r} is not in doubt: {stands}")
        await self._settle(entry, result)

    async def _look_deep(self, doubt: _Doubt, books: Books) -> Result | None:
        """Through all of the past in which it may stand, once its time is over; an order to be removed has a ticket.

        What another ledger had may be long done, its deals read before its signal came: that is looked for at once.
        """
        signal, now = doubt.entry.signal, time.monotonic()
        tickets = (signal.order_ticket,) if signal.kind is Kind.CANCEL_ORDER else ()
        if tickets and (past := await books_with(self._terminal, tickets)):
            found = resolve(signal, mark_of(signal.signal_id), past, None, self._settle_s)
            if found:
                return found
        now_ms = self._now_ms(doubt.entry)
        is_past = now_ms is not None and now_ms > signal.not_after_unix_ms + self._settle_s * 1000
        can_tell = is_past and books.connected_for_s >= self._settle_s
        is_first = signal.redelivered and doubt.deep_at == float("-inf")
        if not (can_tell or is_first) or now - doubt.deep_at < _LATER_S:
            return None
        doubt.deep_at = now
        mark = mark_of(signal.signal_id)
        from_s = _sent_from_unix_s(doubt.entry) - SERVER_MARGIN_S
        whole = await whole_books(self._terminal, ReadBooks(0, from_s, (mark,), tickets))
        if whole is None:
            return None
        await self._deals.reclaim(whole.deals)
        return resolve(signal, mark, whole, now_ms, self._settle_s, self._books.ahead_s())

    async def _shown(self, entry: Entry) -> tuple[BookDeal, ...]:
        """The deals that may be its: those that bear its mark, and whatever positions closed by each other left."""
        if entry.signal.kind is Kind.CLOSE_BY:  # it makes no fills: what it did is told as trades of no signal
            since_s = _sent_from_unix_s(entry) - SERVER_MARGIN_S
            return tuple(one.deal for one in await self._deals.externals_since(since_s * 1000))
        return tuple(await self._deals.marked(entry.signal.signal_id))

    def _now_ms(self, entry: Entry) -> int | None:
        """On the clock that the signal's time is told by: the engine's, or this PC's own."""
        if entry.signal.seq == 0:
            return unix_ms()
        engine_ns = self._clock.unix_ns(boot_ns())
        return None if engine_ns is None else engine_ns // 1_000_000

    async def _settle(self, entry: Entry, result: Result) -> None:
        """Unless it moved on meanwhile: then the next look sees that."""

        def write(transaction: Transaction) -> Entry | None:
            now = transaction.entry(entry.signal.signal_id)
            return transaction.settle(entry.signal.signal_id, result) if now == entry else None

        await self._ledger.run(write, self._told)

    def _told(self, entry: Entry | None) -> None:
        if entry is None:
            return
        result = entry.result
        log.warning(
            "the books have told", signal_id=entry.signal.signal_id, state=result.state, reason=result.reason,
            message=result.message,
        )  # fmt: skip
        self._over(entry)

    def _over(self, entry: Entry) -> None:
        self._doubts.pop(entry.signal.signal_id, None)
        self._settled(entry)
        if entry.is_final:
            self._pending.pop(entry.signal.signal_id, None)
        else:
            self._pending[entry.signal.signal_id] = entry

    def _shout(self) -> None:
        for doubt in self._doubts.values():
            if not doubt.shouted and time.monotonic() - doubt.since >= _QUICK_S:
                doubt.shouted = True
                signal = doubt.entry.signal
                log.error(
                    "an order may have been executed and the books do not tell: its symbol stays frozen",
                    signal_id=signal.signal_id, symbol=signal.symbol, kind=signal.kind,
                    do=f"look in the terminal, then: suho agent resolve {signal.signal_id} --filled VOLUME@PRICE"
                    " (or --not-executed)",
                )  # fmt: skip


def _sent_from_unix_s(entry: Entry) -> int:
    """From when on it may have been sent: an agent that lost its ledger got it again long after its time."""
    return max(0, min(entry.received_unix_ns // 1_000_000_000, entry.signal.not_after_unix_ms // 1000))
