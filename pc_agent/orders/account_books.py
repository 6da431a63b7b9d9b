"""An account's books as they were read last; reading them takes its new deals into the ledger."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal

from mesh.clock import boot_ns, unix_ns
from pc_agent.domain.books import Books
from pc_agent.domain.observation import commission_per_lot
from pc_agent.domain.orders import Entry
from pc_agent.domain.trade_clock import TradeClock
from pc_agent.orders.deal_ledger import DealLedger
from pc_agent.orders.whole_books import SERVER_MARGIN_S, BookTerminal, pages
from pc_agent.terminal.messages import ReadBooks

_NS_PER_S = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Look:
    """What is open, when it was read, and what was paid in (out: negative) since the look before."""

    books: Books
    taken_unix_ns: int
    # The trade server's clock, as its quotes tell it; UTC where they are of a replay, or none has moved of late.
    server_s: int
    # Nothing that was answered before this is missing in it.
    asked_monotonic: float
    paid_in: Decimal


class AccountBooks:
    """Looks one at a time."""

    def __init__(self, terminal: BookTerminal, deals: DealLedger, quote_of: Callable[[], str]) -> None:
        self.newest: Look | None = None
        # Hears of each signal that its deals have settled, at once: the engine hears of it too.
        self.settled: Callable[[Entry], None] = lambda _: None
        # In the account's currency, of the newest trade that cost one; None: none was seen.
        self.commission_per_lot: float | None = None
        self._terminal = terminal
        self._deals = deals
        self._quote_of = quote_of
        self._clock = TradeClock()
        self._turn = asyncio.Lock()

    async def look(self, back_s: int) -> Look | None:
        """Read what is open and the deals since `back_s` before the newest known one; None: they can not be read.

        Deals come late, unordered and corrected: a longer look back finds them.
        """
        async with self._turn:
            asked, paid_in = time.monotonic(), Decimal(0)
            cursor_s = await self._deals.cursor()
            # A new ledger begins with what is going on; it meets payments of long ago, which are no news.
            from_s = cursor_s - back_s if cursor_s else int(time.time()) - SERVER_MARGIN_S
            newest: Books | None = None
            symbol = self._quote_of()
            async for newest in pages(self._terminal, ReadBooks(0, from_s, quote_of=symbol)):
                if newest is None:
                    return None
                taken = await self._deals.take(newest.deals)
                for entry in taken.settled:
                    self.settled(entry)
                self.commission_per_lot = commission_per_lot(newest.deals, self.commission_per_lot)
                paid_in += sum(taken.payments, Decimal(0)) if cursor_s else 0
            if newest is None:
                return None
            now_ns = unix_ns()
            self._clock.quoted(symbol, newest.server_s, now_ns // _NS_PER_S, boot_ns() / _NS_PER_S)
            self.newest = Look(replace(newest, deals=()), now_ns, self._now_s(), asked, paid_in)
            return self.newest

    def server_s(self) -> int:
        """The trade server's clock at this moment, also while nothing can be read; 0: nothing was read yet."""
        return self._now_s() if self.newest else 0

    def _now_s(self) -> int:
        return self._clock.at(unix_ns() // _NS_PER_S, boot_ns() / _NS_PER_S)
