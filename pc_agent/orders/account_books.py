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
from pc_agent.domain.server_clock import ServerClock
from pc_agent.domain.trade_clock import TradeClock
from pc_agent.orders.deal_ledger import DealLedger, Taken
from pc_agent.orders.whole_books import SERVER_MARGIN_S, BookTerminal, pages
from pc_agent.terminal.messages import ReadBooks

_NS_PER_S = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Look:
    """What is open, and when it was read."""

    books: Books
    taken_unix_ns: int
    # The trade server's clock, as its quotes tell it; UTC where they are of a replay, or none has moved of late.
    server_s: int
    # Nothing that was answered before this is missing in it.
    asked_monotonic: float
    # All that was paid in since the agent started (out: negative).
    paid_in: Decimal
    # A quote or the engine's clock has told `server_s`; else it is the PC's own, which may be set wrong.
    is_told: bool = True
    # How many deals the terminal had shown by then, this look's with them.
    deals: int = 0
    # From 1, in the order in which they were asked for: the clock may show the same for two.
    number: int = 0


class AccountBooks:
    """Looks one at a time."""

    def __init__(
        self, terminal: BookTerminal, deals: DealLedger, engine: ServerClock, quote_of: Callable[[], str]
    ) -> None:
        self.newest: Look | None = None
        # Hears of each signal that its deals have settled, at once: the engine hears of it too.
        self.settled: Callable[[Entry], None] = lambda _: None
        # In the account's currency, of the newest trade that cost one; None: none was seen.
        self.commission_per_lot: float | None = None
        self._terminal = terminal
        self._deals = deals
        self._engine = engine
        self._quote_of = quote_of
        self._clock = TradeClock()
        self._paid_in = Decimal(0)
        # A new ledger, until a look has shown it all that there was: it meets payments of long ago, which are no news.
        self._is_new = False
        self._turn = asyncio.Lock()
        self._asked = 0
        deals.took = self._took

    async def look(self, back_s: int) -> Look | None:
        """Read what is open and the deals since `back_s` before the newest known one; None: they can not be read.

        Deals come late, unordered and corrected: a longer look back finds them.
        """
        async with self._turn:
            self._asked += 1
            number, asked = self._asked, time.monotonic()
            cursor_s = await self._deals.cursor()
            # A new ledger begins with what is going on.
            self._is_new = self._is_new or (cursor_s == 0 and self.newest is None)
            from_s = cursor_s - back_s if cursor_s else self._utc_s() - SERVER_MARGIN_S
            newest: Books | None = None
            symbol = self._quote_of()
            async for newest in pages(self._terminal, ReadBooks(0, from_s, quote_of=symbol)):
                if newest is None:
                    return None
                await self._deals.take(newest.deals)
                self.commission_per_lot = commission_per_lot(newest.deals, self.commission_per_lot)
            if newest is None:
                return None
            self._is_new = False
            self._clock.quoted(symbol, newest.server_s, self._utc_s(), boot_ns() / _NS_PER_S)
            is_told = self._clock.is_told or self._engine.unix_ns(boot_ns()) is not None
            books = replace(newest, deals=())
            taken_unix_ns, server_s, deals = unix_ns(), self._now_s(), self._deals.count
            self.newest = Look(books, taken_unix_ns, server_s, asked, self._paid_in, is_told, deals, number)
            return self.newest

    def server_s(self) -> int:
        """The trade server's clock at this moment, also while nothing can be read; 0: nothing was read yet."""
        return self._now_s() if self.newest else 0

    def ahead_s(self) -> int | None:
        """The trade server's clock less the engine's; None: not known."""
        return self._clock.ahead_s(self._utc_s(), boot_ns() / _NS_PER_S)

    def _took(self, taken: Taken) -> None:
        for entry in taken.settled:
            self.settled(entry)
        if not self._is_new:
            self._paid_in += sum(taken.payments, Decimal(0))

    def _now_s(self) -> int:
        return self._clock.at(self._utc_s(), boot_ns() / _NS_PER_S)

    def _utc_s(self) -> int:
        """By the engine's clock; by the PC's, while that is not known."""
        engine_ns = self._engine.unix_ns(boot_ns())
        return (unix_ns() if engine_ns is None else engine_ns) // _NS_PER_S
