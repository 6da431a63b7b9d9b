"""What the account is worth: its positions at the newest quotes, equity, margin."""

from pc_agent.twin import constants as mt5
from pc_agent.twin.books import Books
from pc_agent.twin.domain.holding import Holding, holding
from pc_agent.twin.domain.instrument import Quote, profit
from pc_agent.twin.domain.netting import Exposure
from pc_agent.twin.domain.order_types import side_of
from pc_agent.twin.domain.terms import AccountTerms
from pc_agent.twin.quotes import Quotes
from pc_agent.twin.results import AccountInfo, TradeOrder, TradePosition

COMPANY = "Suho"

_NAMES = {
    mt5.ACCOUNT_TRADE_MODE_DEMO: "Demo account",
    mt5.ACCOUNT_TRADE_MODE_CONTEST: "Contest account",
    mt5.ACCOUNT_TRADE_MODE_REAL: "Real account",
}


class Account:
    """Money in the account's currency, whole cents where it is shown."""

    def __init__(self, terms: AccountTerms, quotes: Quotes, books: Books) -> None:
        self.terms = terms
        self._quotes = quotes
        self._books = books
        self._holdings: dict[str, tuple[int, Holding]] = {}  # with the books' revision

    def positions(self) -> list[TradePosition]:
        """Open positions, valued at the newest quotes."""
        return [self.valued(position) for position in self._books.positions.values()]

    def orders(self) -> list[TradeOrder]:
        """Orders that wait, with the price that they look at."""
        return [self._looking(order) for order in self._books.working.values()]

    def valued(self, position: TradePosition, at: Quote | None = None) -> TradePosition:
        """At the quote given, or the newest."""
        what, held = self._quotes.instruments[position.symbol], position
        quote = at or self._quotes.newest(position.symbol)
        rate = self._quotes.quote_rate(what)
        if quote is None or rate is None:
            return position
        side = 1 if held.type == mt5.POSITION_TYPE_BUY else -1
        closing = quote[0] if side == 1 else quote[1]
        earned = profit(what, side, held.volume, held.price_open, closing, rate)
        return position._replace(price_current=closing, profit=earned)

    def equity(self) -> float:
        """Balance, swaps and what closing everything now would earn."""
        return self._books.balance + sum(map(self.earned, self._books.symbols_held()))

    def earned(self, symbol: str) -> float:
        """What closing all of the symbol now would earn, its swaps with it."""
        what, held, quote = self._quotes.instruments[symbol], self.holding(symbol), self._quotes.newest(symbol)
        rate = self._quotes.quote_rate(what)
        if quote is None or rate is None:
            return held.swap
        return held.points(*quote) * what.contract_size * rate + held.swap

    def holding(self, symbol: str) -> Holding:
        revision, held = self._holdings.get(symbol, (-1, None))
        if held is None or revision != self._books.revision:
            held = holding(self._books.positions_of(symbol))
            self._holdings[symbol] = self._books.revision, held
        return held

    def blocked(self, changed: tuple[str, Exposure | None, Exposure | None] | None = None) -> float:
        """The margin of all positions; with `changed`, as if one of a symbol's had become another."""
        held = {symbol: self.holding(symbol) for symbol in self._books.symbols_held()}
        if changed is not None:
            symbol, before, after = changed
            held[symbol] = self.holding(symbol).changed(before, after)
        return round(sum(self._margin(symbol, one) for symbol, one in held.items()), 2)

    def _margin(self, symbol: str, held: Holding) -> float:
        what = self._quotes.instruments[symbol]
        rate = self._quotes.quote_rate(what)
        return 0.0 if rate is None else self._quotes.margin_rule(what, rate).of_holding(held)

    def info(self) -> AccountInfo:
        terms, balance, positions = self.terms, self._books.balance, self.positions()
        earned = round(sum(p.profit + p.swap for p in positions), 2)
        blocked, equity = self.blocked(), round(balance + earned, 2)
        return AccountInfo(
            login=terms.login,
            trade_mode=terms.trade_mode,
            leverage=terms.leverage,
            limit_orders=terms.limit_orders,
            margin_so_mode=mt5.ACCOUNT_STOPOUT_MODE_PERCENT,
            trade_allowed=terms.trade_allowed,
            trade_expert=terms.trade_expert,
            margin_mode=terms.margin_mode,
            currency_digits=2,
            fifo_close=terms.fifo_close and terms.is_hedging,
            balance=balance,
            profit=earned,
            equity=equity,
            margin=blocked,
            margin_free=round(equity - blocked, 2),
            margin_level=equity / blocked * 100 if blocked else 0.0,
            margin_so_call=terms.margin_call,
            margin_so_so=terms.stop_out,
            name=_NAMES[terms.trade_mode],
            server=terms.server,
            currency=terms.currency,
            company=COMPANY,
        )

    def _looking(self, order: TradeOrder) -> TradeOrder:
        quote = self._quotes.newest(order.symbol)
        if quote is None:
            return order
        return order._replace(price_current=quote[1] if side_of(order.type) == 1 else quote[0])
