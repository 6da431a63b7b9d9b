"""The account's deals, durable: whose each one is, and what the engine has still to be told of.

A deal is taken once, by (account, number). What it does to its position, and the fill that it proves of a signal, are
written in the transaction that takes it.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal

from mesh.log import get_logger
from pc_agent.domain.attribution import (
    Cause,
    Claim,
    External,
    Holding,
    attribute,
    can_tell_owner,
    is_filled_by,
    is_trade,
    opens,
)
from pc_agent.domain.books import BookDeal, BookPosition
from pc_agent.domain.orders import Account, Entry, OrderState
from pc_agent.domain.reconciliation import filled
from pc_agent.orders.deal_rows import DealRows, RefusedDeal
from pc_agent.orders.ledger import Ledger
from pc_agent.orders.ledger_transaction import Transaction

log = get_logger(__name__)

# Adoptions are told like deals; positions and deals are numbered apart, so theirs lie beyond all deals.
ADOPTED = 1 << 62
# For so long a deal may be shown before the one that opened its position.
_PATIENCE_S = 10.0
_KEEP_MS = 30 * 86_400_000
_MOST_TOGETHER = 20
_MOST_REMEMBERED = 10_000
_MOST_REFUSED_SHOWN = 20
# What a fill that the terminal shows moves on: what the worker is about to answer is not among them.
_MOVED_BY_DEALS = frozenset(
    {
        OrderState.UNKNOWN, OrderState.PLACED, OrderState.PARTIALLY_FILLED, OrderState.REJECTED, OrderState.EXPIRED,
        OrderState.CANCELED, OrderState.NOT_EXECUTED,
    }
)  # fmt: skip


@dataclass(slots=True)
class Taken:
    """What a page of deals brought: new trades from outside, signals that moved on, money paid in or out."""

    externals: list[External] = field(default_factory=list)
    settled: list[Entry] = field(default_factory=list)
    payments: list[Decimal] = field(default_factory=list)


class DealLedger:
    """One account's."""

    def __init__(self, ledger: Ledger, account: Account) -> None:
        # There is more to be told to the engine, or there is room for more.
        self.news = asyncio.Event()
        # Hears what was taken as soon as it is on disk, also when whoever looked has given up.
        self.took: Callable[[Taken], None] = lambda _: None
        self._ledger = ledger
        self._account = account
        # Deals whose position is not known yet: since when (monotonic), and their second of the server's clock.
        self._puzzling: dict[int, tuple[float, int]] = {}
        # Of late, in the order in which they were taken: how many had been before each.
        self._taken: dict[int, int] = {}
        # How many have been taken.
        self.count = 0

    async def cursor(self) -> int:
        """Up to which second of the server's clock all deals are here; 0: none was taken ever."""
        return await self._ledger.run(lambda transaction: self._rows(transaction).cursor())

    def has(self, deal: int, count: int) -> bool:
        """The terminal has shown it of late, when `count` had been taken at the latest."""
        return self._taken.get(deal, count) < count

    async def take(self, deals: Sequence[BookDeal]) -> None:
        """Take those that are new, a few at a time: orders on their way to the ledger go in between."""
        new = [deal for deal in deals if deal.ticket not in self._taken]
        new.sort(key=lambda deal: (deal.time_msc, deal.ticket))
        for start in range(0, len(new), _MOST_TOGETHER):
            await self._take(new[start : start + _MOST_TOGETHER])

    async def _take(self, deals: Sequence[BookDeal]) -> None:
        now = time.monotonic()
        given_up = {ticket for ticket, (since, _) in self._puzzling.items() if now - since > _PATIENCE_S}
        asked = {deal.ticket for deal in deals}
        held_s = min((time_s for ticket, (_, time_s) in self._puzzling.items() if ticket not in asked), default=None)

        def write(transaction: Transaction) -> tuple[Taken, list[BookDeal]]:
            return _take(self._rows(transaction), deals, given_up, held_s)

        def then(found: tuple[Taken, list[BookDeal]]) -> None:
            taken, puzzling = found
            self._remember(deals, puzzling, now)
            self._tell(taken)

        await self._ledger.run(write, then)

    def _remember(self, deals: Sequence[BookDeal], puzzling: Sequence[BookDeal], now: float) -> None:
        """Which of them were taken, and which could not be yet."""
        puzzling_now = {deal.ticket for deal in puzzling}
        for deal in deals:
            before = self._puzzling.pop(deal.ticket, None)
            if deal.ticket in puzzling_now:
                self._puzzling[deal.ticket] = before or (now, deal.time_msc // 1000)
            elif deal.ticket not in self._taken:
                self._taken[deal.ticket] = self.count
                self.count += 1
        while len(self._taken) > _MOST_REMEMBERED:
            del self._taken[next(iter(self._taken))]

    def _tell(self, taken: Taken) -> None:
        for external in taken.externals:
            log.warning(
                "a trade that no signal stands for", deal=external.deal.ticket, position=external.deal.position,
                symbol=external.deal.symbol, cause=external.cause, moved=str(external.moved), owner=external.signal_id,
            )  # fmt: skip
        if taken.externals:
            self.news.set()
        self.took(taken)

    async def reclaim(self, deals: Sequence[BookDeal]) -> None:
        """Deals that were taken for foreign before their signal was known, as after the loss of a ledger.

        Payments among them are of long ago: those of today are for the next look to count.
        """
        marked = [deal for deal in deals if is_trade(deal)]
        await self.take(marked)

        def write(transaction: Transaction) -> None:
            rows = self._rows(transaction)
            for deal in marked:
                _reclaim(rows, deal)

        await self._ledger.run(write)

    async def raise_dead(self, since_msc: int) -> None:
        """Settle signals that the worker called dead after deals of theirs had been read: a deal is proof."""

        def write(transaction: Transaction) -> list[Entry]:
            rows = self._rows(transaction)
            return [entry for name in rows.own_of_dead(since_msc) if (entry := _fill(rows, name))]

        def then(raised: list[Entry]) -> None:
            for entry in raised:
                log.error("executed, though it was called dead", signal_id=entry.signal.signal_id, state=entry.state)

        await self._ledger.run(write, then)

    async def adopt(self, position: BookPosition, name: str, server_msc: int) -> None:
        """It counts as the person's from now on, under `name`; nothing when it is ours already."""
        deal = BookDeal(
            ADOPTED | position.ticket, 0, position.magic, position.comment, position.symbol, position.type,
            position.volume, position.price_open, position=position.identifier, time_msc=server_msc,
        )  # fmt: skip

        def write(transaction: Transaction) -> None:
            rows = self._rows(transaction)
            held = rows.holding(position.identifier) or Holding(position.identifier, position.symbol)
            if held.owner or rows.is_known(deal):
                return
            moved = position.signed - held.ours
            rows.hold(replace(held, owner=name, total=position.signed, ours=position.signed), server_msc)
            rows.keep_external(External(deal, moved, Cause.ADOPTED, name))

        await self._ledger.run(write, self._news)

    async def holdings(self) -> dict[int, Holding]:
        """By the position's identifier; those that are not flat."""
        return await self._ledger.run(lambda transaction: self._rows(transaction).open_holdings())

    async def marked(self, signal_id: str) -> list[BookDeal]:
        """Deals that bear its mark."""
        return await self._ledger.run(lambda transaction: self._rows(transaction).marked(signal_id))

    async def waiting(self, limit: int) -> list[External]:
        """The oldest that the engine has neither acknowledged nor refused."""
        return await self._ledger.run(lambda transaction: self._rows(transaction).waiting(limit))

    async def count_waiting(self) -> int:
        return await self._ledger.run(lambda transaction: self._rows(transaction).count_waiting())

    async def externals_since(self, time_msc: int) -> list[External]:
        """By the server's clock."""
        return await self._ledger.run(lambda transaction: self._rows(transaction).externals_since(time_msc))

    async def acknowledged(self, deals: Iterable[int]) -> None:
        """The engine has them."""
        numbers = list(deals)
        await self._ledger.run(lambda transaction: self._rows(transaction).acknowledge(numbers), self._news)

    async def refuse(self, refused: RefusedDeal) -> None:
        """The engine will never take it: set it aside for a person, until it is forgotten."""
        await self._ledger.run(lambda transaction: self._rows(transaction).refuse(refused), self._news)

    async def refused(self) -> list[RefusedDeal]:
        """The oldest of them."""
        return await self._ledger.run(lambda transaction: self._rows(transaction).refused(_MOST_REFUSED_SHOWN))

    async def forget(self, server_msc: int) -> None:
        """Drop what was over a month ago."""
        await self._ledger.run(lambda transaction: self._rows(transaction).forget(server_msc - _KEEP_MS))

    def _news(self, _: None) -> None:
        self.news.set()

    def _rows(self, transaction: Transaction) -> DealRows:
        return DealRows(transaction, self._account)


def _take(
    rows: DealRows, deals: Sequence[BookDeal], given_up: set[int], held_s: int | None
) -> tuple[Taken, list[BookDeal]]:
    """In the ledger's thread: what was taken, and what could not be yet. `held_s` holds the cursor back too."""
    taken = Taken()
    puzzling: list[BookDeal] = []
    filled_now: set[str] = set()
    for deal in deals:
        if rows.is_known(deal):
            continue
        if not is_trade(deal):
            rows.keep(deal, "", None)
            taken.payments.append(Decimal(repr(float(deal.profit))))
        elif not _take_trade(rows, deal, deal.ticket in given_up, taken, filled_now):
            puzzling.append(deal)
    taken.settled += [entry for name in sorted(filled_now) if (entry := _fill(rows, name))]
    waiting_s = [deal.time_msc // 1000 for deal in puzzling] + ([held_s] if held_s is not None else [])
    cursor_s = min([max(deal.time_msc for deal in deals) // 1000, *waiting_s])
    if cursor_s > rows.cursor():
        rows.set_cursor(cursor_s)
    return taken, puzzling


def _take_trade(rows: DealRows, deal: BookDeal, give_up: bool, taken: Taken, filled_now: set[str]) -> bool:
    """False: whose position it is can not be told yet."""
    holding, claim = rows.holding(deal.position), rows.claim(deal)
    opener = rows.opener(deal.position) if holding is None else ""
    if not give_up and not can_tell_owner(deal, holding, opener):
        return False
    attribution = attribute(deal, holding, claim, opener)
    rows.keep(deal, _marked(claim), attribution)
    if attribution.own:
        filled_now.add(attribution.own)
    if attribution.external:
        taken.externals.append(attribution.external)
    return True


def _reclaim(rows: DealRows, deal: BookDeal) -> None:
    """Its position is the signal's; what others did on it was told as foreign and stays so: the engine is compared."""
    claim, holding = rows.claim(deal), rows.holding(deal.position)
    if claim is None or not is_filled_by(deal, claim) or not rows.is_unmarked(deal):
        return
    rows.mark(deal, claim.signal.signal_id)
    if holding is not None and not holding.owner and opens(deal):
        rows.hold(replace(holding, owner=claim.signal.signal_id, ours=holding.total), deal.time_msc)


def _marked(claim: Claim | None) -> str:
    return claim.signal.signal_id if claim else ""


def _fill(rows: DealRows, signal_id: str) -> Entry | None:
    """Write the fill that a signal's deals prove, where the ledger does not say so yet."""
    entry = rows.transaction.entry(signal_id)
    if entry is None or entry.state not in _MOVED_BY_DEALS:
        return None
    result = filled(entry.signal, rows.own(signal_id))
    if Decimal(result.volume) <= Decimal(entry.result.volume or 0):
        return None
    return rows.transaction.settle(signal_id, result)
