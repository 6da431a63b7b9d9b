"""The terminal: every function that a client may call, answered from the market and the books."""

import threading
from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from pc_agent.twin import constants as mt5
from pc_agent.twin.books import Books
from pc_agent.twin.charts import MAX_BARS, Charts
from pc_agent.twin.dealer import COMPANY, Dealer
from pc_agent.twin.domain.instrument import (
    SYMBOL_FILLING_FOK,
    SYMBOL_FILLING_IOC,
    SYMBOL_ORDER_MARKET,
    SYMBOL_ORDER_SL,
    SYMBOL_ORDER_TP,
    VOLUME_MAX,
    VOLUME_MIN,
    VOLUME_STEP,
)
from pc_agent.twin.domain.interference import Interference, NoInterference
from pc_agent.twin.domain.ticks import first_after, first_at
from pc_agent.twin.market import Market
from pc_agent.twin.operations import Operations
from pc_agent.twin.results import (
    AccountInfo,
    OrderCheckResult,
    OrderSendResult,
    SymbolInfo,
    TerminalInfo,
    Tick,
    TradeDeal,
    TradeOrder,
    TradePosition,
    TradeRequest,
)
from pc_agent.twin.wire import SUCCESS, Reply, TerminalError

BUILD = 5000
RELEASED = "1 Jan 2026"
_TERMINAL = 500  # what version() of a MetaTrader 5 begins with

_HISTORY_READS = (
    "copy_ticks_from", "copy_ticks_range", "copy_rates_from", "copy_rates_from_pos", "copy_rates_range",
)  # fmt: skip

R = TypeVar("R", TradeOrder, TradeDeal, TradePosition)
P = ParamSpec("P")
V = TypeVar("V")

NOT_FOUND = (mt5.RES_E_NOT_FOUND, "Terminal: Not found")
CALL_FAILED = (mt5.RES_E_FAIL, "Terminal: Call failed")
AUTH_FAILED = (mt5.RES_E_AUTH_FAILED, "Terminal: Authorization failed")
INVALID_PARAMS = (mt5.RES_E_INVALID_PARAMS, "Terminal: Invalid params")


class Terminal:
    """One lock around everything: a call sees the market and the account as they are at one moment."""

    def __init__(
        self,
        folder: Path,
        password: str,
        market: Market,
        books: Books,
        dealer: Dealer,
        interference: Interference | None = None,
    ) -> None:
        self._folder = folder
        self._password = password
        self._market = market
        self._books = books
        self._dealer = dealer
        self._interference = interference or NoInterference()
        self._deselected: set[str] = set()
        self._operations = Operations(market, books)
        self._lock = threading.Lock()
        self._closed = False
        self._functions: dict[str, Callable[..., Any]] = {
            function.__name__: function
            for function in (
                self.login, self.version, self.terminal_info, self.account_info,
                self.symbols_total, self.symbols_get, self.symbol_info, self.symbol_info_tick, self.symbol_select,
                self.copy_ticks_from, self.copy_ticks_range, self.order_check,
                self.positions_total, self.positions_get, self.orders_total, self.orders_get,
                self.history_orders_total, self.history_orders_get, self.history_deals_total, self.history_deals_get,
            )
        } | self._operations.functions | Charts(market).functions  # fmt: skip

    def handle(self, function: str, arguments: tuple[Any, ...]) -> Reply:
        """Answer one call; what falls due before it happens before it.

        Raises:
            ConnectionError: the terminal has closed meanwhile.
        """
        try:
            self._interference.before_call(function)
            if function in _HISTORY_READS:
                self._operations.before_history_read()
            if function == "order_send":
                return (*SUCCESS, self._disturbed_order_send(*arguments))
            return (*SUCCESS, self._locked(self._functions[function], *arguments))
        except TerminalError as error:
            return error.code, error.message, None

    def _disturbed_order_send(self, request: TradeRequest) -> OrderSendResult:
        fate = self._interference.before_order(request)
        result = self._locked(self._dealer.send, request, fate)
        return self._interference.after_order(request, result)

    def _locked(self, function: Callable[P, V], *args: P.args, **kwargs: P.kwargs) -> V:
        with self._lock:
            if self._closed:
                raise ConnectionError("the terminal has closed")
            self._advance()
            return function(*args, **kwargs)

    def pulse(self) -> None:
        """Let the market move and meet its stops when nobody calls."""
        with self._lock:
            self._advance()

    def close(self) -> None:
        """Finish the call that is being answered; answer no more."""
        with self._lock:
            self._closed = True

    def _advance(self) -> None:
        for symbol, fresh in self._market.advance():
            self._dealer.meet_stops(symbol, fresh)

    # The account

    def login(self, login: int | None, password: str | None, server: str | None) -> None:
        """Raises TerminalError unless what is given is this terminal's account; nothing given is its own."""
        account = self._dealer.account_info()
        wrong = (
            login not in (None, account.login)
            or password not in (None, self._password)
            or server not in (None, account.server)
        )
        if wrong:
            raise TerminalError(*AUTH_FAILED)

    def version(self) -> tuple[int, int, str]:
        return _TERMINAL, BUILD, RELEASED

    def terminal_info(self) -> TerminalInfo:
        folder = str(self._folder)
        return TerminalInfo(
            connected=True,
            trade_allowed=True,
            build=BUILD,
            maxbars=MAX_BARS,
            company=COMPANY,
            name="Suho twin terminal",
            language="English",
            path=folder,
            data_path=folder,
            commondata_path=folder,
        )

    def account_info(self) -> AccountInfo:
        return self._dealer.account_info()

    # Symbols and ticks

    def symbols_total(self) -> int:
        return len(self._market.symbols)

    def symbols_get(self, group: str | None) -> tuple[SymbolInfo, ...]:
        return tuple(self.symbol_info(symbol) for symbol in self._market.symbols if in_group(symbol, group))

    def symbol_info(self, symbol: str) -> SymbolInfo:
        self._require_symbol(symbol)
        terms = self._dealer.instruments[symbol]
        bid, ask = self._dealer.quote(symbol) or (0.0, 0.0)
        newest = self._market.newest(symbol)
        quote_rate = self._dealer.quote_rate(terms)
        tick_value = round(terms.contract_size * terms.point * (quote_rate or 0.0), 8)
        return SymbolInfo(
            select=symbol not in self._deselected,
            visible=symbol not in self._deselected,
            time=int(newest[0]["time"]) if len(newest) else 0,
            digits=terms.digits,
            spread=round((ask - bid) / terms.point),
            spread_float=True,
            trade_calc_mode=mt5.SYMBOL_CALC_MODE_CFDLEVERAGE if terms.is_metal else mt5.SYMBOL_CALC_MODE_FOREX,
            # What can not be valued in the account's currency is not traded.
            trade_mode=mt5.SYMBOL_TRADE_MODE_FULL if quote_rate is not None else mt5.SYMBOL_TRADE_MODE_DISABLED,
            trade_exemode=mt5.SYMBOL_TRADE_EXECUTION_MARKET,
            swap_rollover3days=mt5.DAY_OF_WEEK_WEDNESDAY,
            expiration_mode=1,
            filling_mode=SYMBOL_FILLING_FOK | SYMBOL_FILLING_IOC,
            order_mode=SYMBOL_ORDER_MARKET | SYMBOL_ORDER_SL | SYMBOL_ORDER_TP,
            bid=bid,
            ask=ask,
            point=terms.point,
            trade_tick_value=tick_value,
            trade_tick_value_profit=tick_value,
            trade_tick_value_loss=tick_value,
            trade_tick_size=terms.point,
            trade_contract_size=terms.contract_size,
            volume_min=VOLUME_MIN,
            volume_max=VOLUME_MAX,
            volume_step=VOLUME_STEP,
            currency_base=terms.base,
            currency_profit=terms.quote,
            currency_margin=terms.base,
            description=f"{terms.base} in {terms.quote}",
            name=symbol,
            path=f"{'Metals' if terms.is_metal else 'Forex'}\\{symbol}",
        )

    def symbol_info_tick(self, symbol: str) -> Tick:
        self._require_symbol(symbol)
        newest = self._market.newest(symbol)
        if not len(newest):
            raise TerminalError(*NOT_FOUND)
        return Tick(*newest[0].item())

    def symbol_select(self, symbol: str, enable: bool) -> bool:
        self._require_symbol(symbol, CALL_FAILED)
        if not enable and symbol in self._books.positions:
            raise TerminalError(*CALL_FAILED)
        (self._deselected.discard if enable else self._deselected.add)(symbol)
        return True

    def copy_ticks_from(self, symbol: str, since_s: int, count: int, flags: int) -> bytes:
        """At most `count` released ticks from second `since_s` on, as records."""
        self._require_symbol(symbol)
        self._require_flags(flags)
        if count <= 0 or since_s < 0:
            raise TerminalError(*INVALID_PARAMS)
        if flags == mt5.COPY_TICKS_TRADE:
            return b""  # this market quotes; nothing in it is a trade of others
        ticks = self._market.ticks(symbol)
        first = first_at(ticks, since_s * 1000)
        return ticks[first : first + count].tobytes()

    def copy_ticks_range(self, symbol: str, since_s: int, until_s: int, flags: int) -> bytes:
        """The released ticks from second `since_s` to the beginning of second `until_s` (0: to the newest)."""
        self._require_symbol(symbol)
        self._require_flags(flags)
        if since_s < 0 or until_s < 0:
            raise TerminalError(*INVALID_PARAMS)
        if flags == mt5.COPY_TICKS_TRADE:
            return b""
        ticks = self._market.ticks(symbol)
        last = first_after(ticks, until_s * 1000) if until_s else len(ticks)
        return ticks[first_at(ticks, since_s * 1000) : last].tobytes()

    # Orders, positions, history

    def order_check(self, request: TradeRequest) -> OrderCheckResult:
        return self._dealer.check(request)

    def positions_total(self) -> int:
        return len(self._books.positions)

    def positions_get(self, symbol: str | None, group: str | None, ticket: int | None) -> tuple[TradePosition, ...]:
        return tuple(
            position
            for position in self._dealer.positions()
            if symbol in (None, position.symbol)
            and ticket in (None, position.ticket)
            and in_group(position.symbol, group)
        )

    def orders_total(self) -> int:
        return 0  # a market order never waits

    def orders_get(self, symbol: str | None, group: str | None, ticket: int | None) -> tuple[TradeOrder, ...]:
        return ()

    def history_orders_total(self, since_s: int, until_s: int) -> int:
        return len(self._books.orders_between(since_s, until_s))

    def history_orders_get(
        self, dates: tuple[int, int] | None, group: str | None, ticket: int | None, position: int | None
    ) -> tuple[TradeOrder, ...]:
        if dates is None:
            return _grouped(self._books.orders_of(ticket=ticket, position=position), group)
        return _grouped(self._books.orders_between(*dates), group)

    def history_deals_total(self, since_s: int, until_s: int) -> int:
        return len(self._books.deals_between(since_s, until_s))

    def history_deals_get(
        self, dates: tuple[int, int] | None, group: str | None, ticket: int | None, position: int | None
    ) -> tuple[TradeDeal, ...]:
        """`ticket` is that of the order that made the deals, as in the real terminal."""
        if dates is None:
            return _grouped(self._books.deals_of(order=ticket, position=position), group)
        return _grouped(self._books.deals_between(*dates), group)

    def _require_symbol(self, symbol: str, failure: tuple[int, str] = NOT_FOUND) -> None:
        if symbol not in self._market.symbols:
            raise TerminalError(*failure)

    def _require_flags(self, flags: int) -> None:
        if flags not in (mt5.COPY_TICKS_ALL, mt5.COPY_TICKS_INFO, mt5.COPY_TICKS_TRADE):
            raise TerminalError(*INVALID_PARAMS)


def in_group(symbol: str, group: str | None) -> bool:
    """Whether a filter such as "*USD*,!EUR*" takes the symbol: its conditions apply in order, "!" takes away."""
    if group is None:
        return True
    taken = False
    for condition in group.split(","):
        pattern = condition.strip()
        if fnmatchcase(symbol, pattern.removeprefix("!")):
            taken = not pattern.startswith("!")
    return taken


def _grouped(rows: Iterable[R], group: str | None) -> tuple[R, ...]:
    return tuple(row for row in rows if in_group(row.symbol, group))
