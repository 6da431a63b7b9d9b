"""What the account is worth: its positions at the newest quotes, equity, margin."""

from collections.abc import Iterable, Sequence

from pc_agent.twin import constants as mt5
from pc_agent.twin.books import Books
from pc_agent.twin.domain.instrument import profit
from pc_agent.twin.domain.netting import Exposure
from pc_agent.twin.domain.order_types import side_of
from pc_agent.twin.domain.situation import exposure
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

    def positions(self) -> list[TradePosition]:
        """Open positions, valued at the newest quotes."""
        return [self.valued(position) for position in self._books.positions.values()]

    def orders(self) -> list[TradeOrder]:
        """Orders that wait, with the price that they look at."""
        return [self._looking(order) for order in self._books.working.values()]

    def valued(self, position: TradePosition) -> TradePosition:
        what, quote, held = self._quotes.instruments[position.symbol], self._quotes.newest(position.symbol), position
        rate = self._quotes.quote_rate(what)
        if quote is None or rate is None:
            return position
        side = 1 if held.type == mt5.POSITION_TYPE_BUY else -1
        closing = quote[0] if side == 1 else quote[1]
        earned = profit(what, side, held.volume, held.price_open, closing, rate)
        return position._replace(price_current=closing, profit=earned)

    def equity(self) -> float:
        return round(self._books.balance + sum(p.profit + p.swap for p in self.positions()), 2)

    def blocked(self, instead: tuple[str, Sequence[Exposure]] | None = None) -> float:
        """The margin of all positions; with `instead`, those of one symbol are taken to be these."""
        by_symbol: dict[str, list[Exposure]] = {}
        for position in self._books.positions.values():
            by_symbol.setdefault(position.symbol, []).append(exposure(position))
        if instead is not None:
            by_symbol[instead[0]] = list(instead[1])
        return round(sum(self._margin(symbol, held) for symbol, held in by_symbol.items()), 2)

    def _margin(self, symbol: str, held: Iterable[Exposure]) -> float:
        what = self._quotes.instruments[symbol]
        rate = self._quotes.quote_rate(what)
        return 0.0 if rate is None else self._quotes.margin_rule(what, rate).of_positions(held)

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
