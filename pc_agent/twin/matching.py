"""What fresh ticks do to the account: they meet stops and waiting orders, and may take its margin."""

import numpy as np
from numpy.typing import NDArray

from pc_agent.twin import constants as mt5
from pc_agent.twin.account import Account
from pc_agent.twin.books import Books
from pc_agent.twin.domain.instrument import Quote
from pc_agent.twin.domain.sessions import week
from pc_agent.twin.domain.ticks import Ticks
from pc_agent.twin.domain.watches import Cause, Prices, Touch, Watches
from pc_agent.twin.market import Clock
from pc_agent.twin.quotes import Quotes
from pc_agent.twin.results import TradePosition
from pc_agent.twin.trades import Trades

_TICKS_AT_A_TIME = 8192


class Matching:
    """Looks at whole columns of ticks and stops only where something happens."""

    def __init__(self, account: Account, quotes: Quotes, books: Books, trades: Trades, clock: Clock) -> None:
        self._account = account
        self._quotes = quotes
        self._books = books
        self._trades = trades
        self._clock = clock
        self._watches: dict[str, tuple[int, Watches]] = {}

    def meet(self, symbol: str, fresh: Ticks) -> None:
        """Let `fresh` ticks of one symbol happen, in their order; outside its sessions they do nothing."""
        if not (self._books.positions or self._books.working):
            return
        if not week(self._quotes.terms[symbol].sessions).is_open(self._clock()):
            return
        for begin in range(0, len(fresh), _TICKS_AT_A_TIME):
            self._meet(symbol, Prices(fresh[begin : begin + _TICKS_AT_A_TIME]))

    def expire(self) -> None:
        """End the orders whose time has come."""
        now_s = self._clock() // 1000
        due = [order for order in self._books.working.values() if 0 < order.time_expiration <= now_s]
        for order in due:
            self._trades.end(order, mt5.ORDER_STATE_EXPIRED)

    def _meet(self, symbol: str, prices: Prices) -> None:
        start, not_before = 0, dict[int, int]()
        while start < len(prices):
            touch = self._watches_of(symbol).first(prices, start, not_before)
            end = touch.index if touch is not None else len(prices)
            broke = self._first_stop_out(symbol, prices, start, end)
            if broke is not None:
                self._stop_out(symbol, prices.quote(broke))
                start = broke
            elif touch is not None:
                self._happen(touch, prices.quote(touch.index))
                # What it left behind, opened or added to waits for the next tick.
                netted = [] if self._account.terms.is_hedging else self._books.positions_of(symbol)
                not_before.update(dict.fromkeys((touch.ticket, *(p.ticket for p in netted)), touch.index + 1))
                start = touch.index
            else:
                return

    def _happen(self, touch: Touch, quote: Quote) -> None:
        if touch.cause is Cause.ORDER:
            self._trades.activate(self._books.working[touch.ticket], quote)
            return
        position = self._books.positions[touch.ticket]
        is_loss = touch.cause is Cause.STOP_LOSS
        words, stop = ("sl", position.sl) if is_loss else ("tp", position.tp)
        digits = self._quotes.instruments[position.symbol].digits
        reason = mt5.ORDER_REASON_SL if is_loss else mt5.ORDER_REASON_TP
        self._trades.close(position, quote, reason, f"[{words} {stop:.{digits}f}]")

    def _watches_of(self, symbol: str) -> Watches:
        revision, watches = self._watches.get(symbol, (-1, None))
        if watches is None or revision != self._books.revision:
            positions = [p for p in self._books.positions_of(symbol) if p.sl or p.tp]
            watches = Watches(self._books.working_of(symbol), positions)
            self._watches[symbol] = self._books.revision, watches
        return watches

    # Margin

    def _first_stop_out(self, symbol: str, prices: Prices, start: int, end: int) -> int | None:
        """The first tick at which the margin level is under the stop-out level."""
        blocked = self._account.blocked() if symbol in self._books.symbols_held() else 0.0
        if not blocked:
            return None
        others = sum(self._account.earned(other) for other in self._books.symbols_held() if other != symbol)
        equity = self._books.balance + others + self._earned(symbol, prices, start, end)
        broke = equity < blocked * self._account.terms.stop_out / 100
        return start + int(broke.argmax()) if broke.any() else None

    def _earned(self, symbol: str, prices: Prices, start: int, end: int) -> NDArray[np.float64]:
        """By all that is held of the symbol, its swaps with it, at each tick."""
        what, held = self._quotes.instruments[symbol], self._account.holding(symbol)
        bids, asks = prices.bids[start:end], prices.asks[start:end]
        in_base = what.is_based_on(self._account.terms.currency)
        rate = 1.0 / asks if in_base else self._quotes.quote_rate(what) or 0.0
        return np.asarray(held.points(bids, asks) * what.contract_size * rate + held.swap, np.float64)

    def _stop_out(self, symbol: str, quote: Quote) -> None:
        """Close the position that has lost most: one of `symbol` at `quote`, others at their newest."""

        def at(position: TradePosition) -> Quote | None:
            return quote if position.symbol == symbol else self._quotes.newest(position.symbol)

        positions = self._books.positions.values()
        worst = min(positions, key=lambda position: self._account.valued(position, at(position)).profit)
        price = at(worst)
        assert price is not None  # what has no quote has lost nothing
        words = f"[so {self._account.terms.stop_out:.2f}%]"
        self._trades.close(worst, price, mt5.ORDER_REASON_SO, words)
