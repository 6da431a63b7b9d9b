"""The broker's side of the account: judges trade requests, executes them, and answers."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace

from pc_agent.twin import constants as mt5
from pc_agent.twin.account import Account
from pc_agent.twin.books import Books, ForeignFolderError
from pc_agent.twin.domain.deal_rules import DEAL_RULES
from pc_agent.twin.domain.instrument import profit
from pc_agent.twin.domain.interference import UNDISTURBED, Fate
from pc_agent.twin.domain.order_rules import MODIFY_RULES, PLACE_RULES, REMOVE_RULES
from pc_agent.twin.domain.order_types import side_of
from pc_agent.twin.domain.position_rules import CLOSE_BY_RULES, SLTP_RULES
from pc_agent.twin.domain.retcode_words import RETCODE_WORDS
from pc_agent.twin.domain.situation import Situation
from pc_agent.twin.domain.symbol_rules import Rule, first_refusal
from pc_agent.twin.domain.terms import AccountTerms, Terms
from pc_agent.twin.domain.ticks import Ticks
from pc_agent.twin.market import Clock, Market
from pc_agent.twin.matching import Matching
from pc_agent.twin.quotes import Quotes
from pc_agent.twin.results import OrderCheckResult, OrderSendResult, TradeDeal, TradeRequest
from pc_agent.twin.rollover import Rollover
from pc_agent.twin.trades import Trades

_RULES: Mapping[int, tuple[Rule, ...]] = {
    mt5.TRADE_ACTION_DEAL: DEAL_RULES,
    mt5.TRADE_ACTION_PENDING: PLACE_RULES,
    mt5.TRADE_ACTION_SLTP: SLTP_RULES,
    mt5.TRADE_ACTION_MODIFY: MODIFY_RULES,
    mt5.TRADE_ACTION_REMOVE: REMOVE_RULES,
    mt5.TRADE_ACTION_CLOSE_BY: CLOSE_BY_RULES,
}
_SECOND_MS = 1000


@dataclass(frozen=True)
class _Outcome:
    """What a request came to."""

    retcode: int
    deal: int = 0
    order: int = 0
    volume: float = 0.0
    price: float = 0.0


class Dealer:
    """Its clock is the trade server's: UTC, also while a replay plays."""

    def __init__(
        self,
        account: AccountTerms,
        market: Market,
        books: Books,
        clock: Clock,
        terms: Mapping[str, Terms] | None = None,
    ) -> None:
        """`terms` by symbol, where they are not those that Terms begins with.

        Raises:
            ForeignFolderError: the books are another account's, or hold what the market does not have.
        """
        books.open_account(account.server, account.login, _deposit(clock(), account.deposit))
        _require_symbols(books, market)
        self._market = market
        self._books = books
        self._clock = clock
        self._requests = 0
        self._recent: deque[int] = deque()  # when the requests of the last second came
        self.quotes = Quotes(market, account, terms or {})
        self.account = Account(account, self.quotes, books)
        self._trades = Trades(self.account, self.quotes, books, clock)
        self._matching = Matching(self.account, self.quotes, books, self._trades, clock)
        self._rollover = Rollover(self.quotes, books, clock)

    def now_msc(self) -> int:
        return self._clock()

    def permit(self, trade_allowed: bool | None = None, trade_expert: bool | None = None) -> None:
        """What the broker lets the account do; None: as before."""
        terms = self.account.terms
        self.account.terms = replace(
            terms,
            trade_allowed=terms.trade_allowed if trade_allowed is None else trade_allowed,
            trade_expert=terms.trade_expert if trade_expert is None else trade_expert,
        )

    # What happens without being asked for

    def pass_time(self) -> None:
        """Swaps and expirations that are due."""
        self._rollover.charge()
        self._matching.expire()

    def meet(self, symbol: str, fresh: Ticks) -> None:
        """Let fresh ticks of a symbol happen to the account."""
        self._matching.meet(symbol, fresh)

    # What clients ask

    def check(self, request: TradeRequest) -> OrderCheckResult:
        """What the account would be after `request`; executes nothing."""
        situation = self._situation(request, mt5.ORDER_REASON_EXPERT)
        retcode = self._refusal(request, situation, mt5.ORDER_REASON_EXPERT)
        words = RETCODE_WORDS[retcode] if retcode else "Done"
        if situation is None or retcode not in (0, mt5.TRADE_RETCODE_NO_MONEY):
            return OrderCheckResult(retcode, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, words, request)
        now = self.account.info()
        blocked = self._blocked_after(situation)
        return OrderCheckResult(
            retcode=retcode,
            balance=now.balance,
            equity=now.equity,
            profit=now.profit,
            margin=blocked,
            margin_free=round(now.equity - blocked, 2),
            margin_level=now.equity / blocked * 100 if blocked else 0.0,
            comment=words,
            request=request,
        )

    def send(self, request: TradeRequest, fate: Fate = UNDISTURBED) -> OrderSendResult:
        """Execute `request` at the newest quote, or refuse it."""
        self._requests += 1
        situation = self._situation(request, fate.reason)
        quote = situation.quote if situation is not None else None
        refused = fate.retcode or self._flood() or self._refusal(request, situation, fate.reason)
        done = _Outcome(refused) if refused or situation is None else self._execute(situation, fate)
        bid, ask = quote or (0.0, 0.0)
        return OrderSendResult(
            done.retcode, done.deal, done.order, done.volume, done.price, bid, ask,
            RETCODE_WORDS.get(done.retcode, ""), self._requests, 0, request,
        )  # fmt: skip

    def calc_margin(self, symbol: str, volume: float, price: float) -> float | None:
        """What an order by itself would block; None: nobody knows what it is worth."""
        what = self.quotes.instruments[symbol]
        rate = self.quotes.quote_rate(what)
        return None if rate is None else round(self.quotes.margin_rule(what, rate).of(volume, price), 2)

    def calc_profit(self, action: int, symbol: str, volume: float, opened_at: float, closed_at: float) -> float | None:
        """What a position would earn; None: nobody knows what it is worth."""
        what = self.quotes.instruments[symbol]
        rate = self.quotes.quote_rate(what)
        return None if rate is None else profit(what, side_of(action), volume, opened_at, closed_at, rate)

    def _refusal(self, request: TradeRequest, situation: Situation | None, reason: int) -> int:
        if not self.account.terms.trade_allowed:
            return mt5.TRADE_RETCODE_TRADE_DISABLED
        if reason == mt5.ORDER_REASON_EXPERT and not self.account.terms.trade_expert:
            return mt5.TRADE_RETCODE_SERVER_DISABLES_AT
        if request.action not in _RULES:
            return mt5.TRADE_RETCODE_INVALID
        if situation is None:
            return self._unknown(request)
        refused = first_refusal(situation, _RULES[request.action])
        if not refused and request.action == mt5.TRADE_ACTION_DEAL and not self._has_money(situation):
            return mt5.TRADE_RETCODE_NO_MONEY
        return refused

    def _unknown(self, request: TradeRequest) -> int:
        """Nothing that is there is meant: it never was, or it is no more."""
        if request.action in (mt5.TRADE_ACTION_MODIFY, mt5.TRADE_ACTION_REMOVE):
            was = self._books.knows_order(request.order)
            return mt5.TRADE_RETCODE_ORDER_CHANGED if was else mt5.TRADE_RETCODE_INVALID
        if request.action in (mt5.TRADE_ACTION_SLTP, mt5.TRADE_ACTION_CLOSE_BY) and request.position:
            return mt5.TRADE_RETCODE_POSITION_CLOSED
        return mt5.TRADE_RETCODE_INVALID

    def _flood(self) -> int:
        limit, now = self.account.terms.requests_per_s, self._clock()
        if not limit:
            return 0
        while self._recent and self._recent[0] <= now - _SECOND_MS:
            self._recent.popleft()
        if len(self._recent) >= limit:
            return mt5.TRADE_RETCODE_TOO_MANY_REQUESTS
        self._recent.append(now)
        return 0

    def _execute(self, s: Situation, fate: Fate) -> _Outcome:
        done, request = mt5.TRADE_RETCODE_DONE, s.request
        match request.action:
            case mt5.TRADE_ACTION_DEAL:
                return self._deal(s, fate)
            case mt5.TRADE_ACTION_PENDING:
                return _Outcome(done, order=self._trades.place(s).ticket, volume=request.volume)
            case mt5.TRADE_ACTION_SLTP:
                assert s.held is not None
                self._trades.set_stops(s.held, request.sl, request.tp)
                return _Outcome(done)
            case mt5.TRADE_ACTION_MODIFY:
                return _Outcome(done, order=self._trades.modify(s).ticket)
            case mt5.TRADE_ACTION_REMOVE:
                self._trades.end(self._books.working[request.order], mt5.ORDER_STATE_CANCELED)
                return _Outcome(done, order=request.order)
            case _:
                order, deal = self._trades.close_by(s)
                return _Outcome(done, deal.ticket, order.ticket, deal.volume, deal.price)

    def _deal(self, s: Situation, fate: Fate) -> _Outcome:
        made = self._trades.deal(s, fate)
        if made is None:
            return _Outcome(mt5.TRADE_RETCODE_REJECT)
        order, deal = made
        if deal is None:
            return _Outcome(mt5.TRADE_RETCODE_PLACED, order=order.ticket)
        whole = deal.volume == s.request.volume
        retcode = mt5.TRADE_RETCODE_DONE if whole else mt5.TRADE_RETCODE_DONE_PARTIAL
        return _Outcome(retcode, deal.ticket, order.ticket, deal.volume, deal.price)

    def _situation(self, request: TradeRequest, reason: int) -> Situation | None:
        """None: the request is about nothing that is there."""
        request = self._named(request)
        symbol = request.symbol
        if symbol not in self._market.symbols:
            return None
        what = self.quotes.instruments[symbol]
        return Situation(
            request=request,
            account=self.account.terms,
            what=what,
            terms=self.quotes.terms[symbol],
            quote=self.quotes.newest(symbol),
            quote_rate=self.quotes.quote_rate(what),
            now_msc=self._clock(),
            positions=self._books.positions_of(symbol),
            orders=self._books.working_of(symbol),
            all_positions=len(self._books.positions),
            all_orders=len(self._books.working),
            reason=reason,
        )

    def _named(self, request: TradeRequest) -> TradeRequest:
        """With the symbol, and of an order its type and volume too, of what the request names by ticket."""
        if request.action in (mt5.TRADE_ACTION_MODIFY, mt5.TRADE_ACTION_REMOVE):
            order = self._books.working.get(request.order)
            if order is None:
                return request._replace(symbol="")
            return request._replace(symbol=order.symbol, type=order.type, volume=order.volume_current)
        if request.action in (mt5.TRADE_ACTION_SLTP, mt5.TRADE_ACTION_CLOSE_BY) and request.position:
            position = self._books.positions.get(request.position)
            return request._replace(symbol=position.symbol if position is not None else "")
        return request

    def _has_money(self, s: Situation) -> bool:
        if not s.netted().opened:
            return True
        cost = s.terms.commission * s.request.volume
        return self._blocked_after(s) <= self.account.equity() - cost

    def _blocked_after(self, s: Situation) -> float:
        is_deal = s.request.action == mt5.TRADE_ACTION_DEAL
        return self.account.blocked((s.request.symbol, s.before, s.netted().after) if is_deal else None)


def _deposit(now_msc: int, money: float) -> TradeDeal:
    return TradeDeal(
        1, 0, now_msc // 1000, now_msc, mt5.DEAL_TYPE_BALANCE, mt5.DEAL_ENTRY_IN, 0, 0, mt5.DEAL_REASON_CLIENT,
        0.0, 0.0, 0.0, 0.0, money, 0.0, "", "Deposit", "",
    )  # fmt: skip


def _require_symbols(books: Books, market: Market) -> None:
    booked = {position.symbol for position in books.positions.values()}
    booked |= {order.symbol for order in books.working.values()}
    if missing := sorted(booked - set(market.series)):
        raise ForeignFolderError(f"this folder's account holds {', '.join(missing)}, which no feed has")
