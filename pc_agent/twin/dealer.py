"""The broker's side of the account: money, margin, and orders that become deals at the market's newest quotes."""

from collections.abc import Mapping
from dataclasses import dataclass

from pc_agent.twin import constants as mt5
from pc_agent.twin.books import Books
from pc_agent.twin.domain.dealing import RETCODE_WORDS, Dealing, Stamp, execute, exposure, refusal
from pc_agent.twin.domain.instrument import Instrument, Quote, instrument, margin, profit, rate
from pc_agent.twin.domain.interference import UNDISTURBED, Fate
from pc_agent.twin.domain.netting import Exposure, Netted
from pc_agent.twin.domain.stops import first_touch
from pc_agent.twin.domain.ticks import Ticks
from pc_agent.twin.market import Clock, Market
from pc_agent.twin.results import (
    AccountInfo,
    OrderCheckResult,
    OrderSendResult,
    TradeDeal,
    TradePosition,
    TradeRequest,
)

COMPANY = "Suho"


@dataclass(frozen=True)
class AccountTerms:
    """What was agreed when the account was opened."""

    server: str
    login: int
    currency: str
    leverage: int
    deposit: float


class Dealer:
    """Executes at once or refuses; nothing waits. Its clock is the trade server's: UTC, also while a replay plays."""

    def __init__(self, terms: AccountTerms, market: Market, books: Books, clock: Clock) -> None:
        self._terms = terms
        self._market = market
        self._books = books
        self._clock = clock
        self._requests = 0
        self.instruments: Mapping[str, Instrument] = {
            symbol: instrument(symbol, series.digits, terms.currency) for symbol, series in market.series.items()
        }
        books.open_account(terms.server, terms.login, self._deposit())

    def quote(self, symbol: str) -> Quote | None:
        """Newest bid and ask; None before the first tick."""
        if symbol not in self._market.symbols:
            return None
        newest = self._market.newest(symbol)
        return (float(newest[0]["bid"]), float(newest[0]["ask"])) if len(newest) else None

    def quote_rate(self, terms: Instrument) -> float | None:
        """What one unit of the symbol's quote currency is worth in the account's."""
        account, own = self._terms.currency, self.quote(terms.name)
        if terms.base == account and own is not None:
            return 1.0 / own[1]
        return rate(terms.quote, account, self.quote)

    def positions(self) -> list[TradePosition]:
        """Open positions, valued at the newest quotes."""
        return [self._valued(position) for position in self._books.positions.values()]

    def account_info(self) -> AccountInfo:
        balance, positions = self._books.balance, self.positions()
        earned = round(sum((position.profit for position in positions), 0.0), 2)
        blocked = round(sum((self._margin(p.symbol, exposure(p)) for p in positions), 0.0), 2)
        equity = round(balance + earned, 2)
        return AccountInfo(
            login=self._terms.login,
            trade_mode=mt5.ACCOUNT_TRADE_MODE_DEMO,
            leverage=self._terms.leverage,
            limit_orders=200,
            margin_so_mode=mt5.ACCOUNT_STOPOUT_MODE_PERCENT,
            trade_allowed=True,
            trade_expert=True,
            margin_mode=mt5.ACCOUNT_MARGIN_MODE_RETAIL_NETTING,
            currency_digits=2,
            balance=balance,
            profit=earned,
            equity=equity,
            margin=blocked,
            margin_free=round(equity - blocked, 2),
            margin_level=equity / blocked * 100 if blocked else 0.0,
            name="Demo account",
            server=self._terms.server,
            currency=self._terms.currency,
            company=COMPANY,
        )

    def check(self, request: TradeRequest) -> OrderCheckResult:
        """What the account would be after `request`; executes nothing."""
        dealing = self._dealing(request)
        retcode = refusal(dealing, lambda netted: self._has_money(request.symbol, netted))
        now = self.account_info()
        blocked = now.margin
        if retcode is None:
            blocked = self._blocked_after(request.symbol, dealing.netted())
        return OrderCheckResult(
            retcode=retcode or 0,
            balance=now.balance,
            equity=now.equity,
            profit=now.profit,
            margin=blocked,
            margin_free=round(now.equity - blocked, 2),
            margin_level=now.equity / blocked * 100 if blocked else 0.0,
            comment=RETCODE_WORDS[retcode] if retcode is not None else "Done",
            request=request,
        )

    def send(self, request: TradeRequest, fate: Fate = UNDISTURBED) -> OrderSendResult:
        """Execute `request` at the newest quote, or refuse it."""
        self._requests += 1
        dealing = self._dealing(request)
        bid, ask = dealing.quote or (0.0, 0.0)
        retcode = fate.retcode or refusal(dealing, lambda netted: self._has_money(request.symbol, netted))
        if retcode is not None:
            words = RETCODE_WORDS.get(retcode, "")
            return OrderSendResult(retcode, 0, 0, 0.0, 0.0, bid, ask, words, self._requests, 0, request)
        deal = self._execute(dealing, mt5.ORDER_REASON_EXPERT)
        done = mt5.TRADE_RETCODE_DONE
        return OrderSendResult(
            done, deal.ticket, deal.order, deal.volume, deal.price, bid, ask, RETCODE_WORDS[done],
            self._requests, 0, request,
        )  # fmt: skip

    def meet_stops(self, symbol: str, fresh: Ticks) -> None:
        """Close the symbol's position if `fresh` ticks reached its stop loss or take profit, at the tick that did."""
        position = self._books.positions.get(symbol)
        if position is None or not (position.sl or position.tp):
            return
        held = exposure(position)
        assert held is not None
        touch = first_touch(held.side, position.sl, position.tp, fresh)
        if touch is None:
            return
        words, stop = ("sl", position.sl) if touch.is_stop_loss else ("tp", position.tp)
        request = TradeRequest(
            action=mt5.TRADE_ACTION_DEAL,
            magic=position.magic,
            symbol=symbol,
            volume=position.volume,
            type=mt5.ORDER_TYPE_SELL if held.side == 1 else mt5.ORDER_TYPE_BUY,
            comment=f"[{words} {stop:.{self.instruments[symbol].digits}f}]",
            position=position.ticket,
        )
        tick = fresh[touch.index]
        reason = mt5.ORDER_REASON_SL if touch.is_stop_loss else mt5.ORDER_REASON_TP
        self._execute(self._dealing(request, (float(tick["bid"]), float(tick["ask"]))), reason)

    def _execute(self, dealing: Dealing, reason: int) -> TradeDeal:
        order, deal = self._books.next_tickets()
        execution = execute(dealing, Stamp(order, deal, self._clock(), reason))
        self._books.commit(execution)
        return execution.deal

    def _dealing(self, request: TradeRequest, quote: Quote | None = None) -> Dealing:
        terms = self.instruments.get(request.symbol)
        held = self._books.positions.get(request.symbol)
        quote_rate = self.quote_rate(terms) if terms is not None else None
        return Dealing(request, terms, quote or self.quote(request.symbol), quote_rate, held)

    def _valued(self, position: TradePosition) -> TradePosition:
        terms, quote, held = self.instruments[position.symbol], self.quote(position.symbol), exposure(position)
        quote_rate = self.quote_rate(terms)
        if quote is None or held is None or quote_rate is None:
            return position
        closing = quote[0] if held.side == 1 else quote[1]
        earned = profit(terms, held.side, held.volume, held.price, closing, quote_rate)
        return position._replace(price_current=closing, profit=earned)

    def _margin(self, symbol: str, held: Exposure | None) -> float:
        terms = self.instruments[symbol]
        quote_rate = self.quote_rate(terms)
        if held is None or quote_rate is None:
            return 0.0
        return margin(terms, held.volume, held.price, quote_rate, self._terms.leverage)

    def _blocked_after(self, symbol: str, netted: Netted) -> float:
        others = (p for p in self._books.positions.values() if p.symbol != symbol)
        return round(sum((self._margin(p.symbol, exposure(p)) for p in others), self._margin(symbol, netted.after)), 2)

    def _has_money(self, symbol: str, netted: Netted) -> bool:
        return self._blocked_after(symbol, netted) <= self.account_info().equity

    def _deposit(self) -> TradeDeal:
        now = self._clock()
        return TradeDeal(
            1, 0, now // 1000, now, mt5.DEAL_TYPE_BALANCE, mt5.DEAL_ENTRY_IN, 0, 0, mt5.DEAL_REASON_CLIENT,
            0.0, 0.0, 0.0, 0.0, self._terms.deposit, 0.0, "", "Deposit", "",
        )  # fmt: skip
