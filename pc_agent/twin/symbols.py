"""What the terminal tells of its symbols, and their ticks."""

from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Any

from pc_agent.twin import constants as mt5
from pc_agent.twin.books import Books
from pc_agent.twin.day_range import DayRange, DayRanges
from pc_agent.twin.dealer import Dealer
from pc_agent.twin.domain.depth import LEVELS
from pc_agent.twin.domain.instrument import Instrument
from pc_agent.twin.domain.terms import SYMBOL_ORDER_CLOSEBY, Terms
from pc_agent.twin.domain.ticks import first_after, first_at
from pc_agent.twin.market import Market
from pc_agent.twin.results import SymbolInfo, Tick
from pc_agent.twin.wire import TerminalError

NOT_FOUND = (mt5.RES_E_NOT_FOUND, "Terminal: Not found")
CALL_FAILED = (mt5.RES_E_FAIL, "Terminal: Call failed")
INVALID_PARAMS = (mt5.RES_E_INVALID_PARAMS, "Terminal: Invalid params")

_TICK_FLAGS = (mt5.COPY_TICKS_ALL, mt5.COPY_TICKS_INFO, mt5.COPY_TICKS_TRADE)


class Symbols:
    """Called under the terminal's lock."""

    def __init__(self, market: Market, books: Books, dealer: Dealer) -> None:
        self._market = market
        self._books = books
        self._dealer = dealer
        self._quotes = dealer.quotes
        self._days = DayRanges(market)
        self._deselected: set[str] = set()
        functions: tuple[Callable[..., Any], ...] = (
            self.symbols_total, self.symbols_get, self.symbol_info, self.symbol_info_tick, self.symbol_select,
            self.copy_ticks_from, self.copy_ticks_range, self.order_calc_margin, self.order_calc_profit,
        )  # fmt: skip
        self.functions = {function.__name__: function for function in functions}

    def symbols_total(self) -> int:
        return len(self._market.symbols)

    def symbols_get(self, group: str | None) -> tuple[SymbolInfo, ...]:
        return tuple(self.symbol_info(symbol) for symbol in self._market.symbols if in_group(symbol, group))

    def symbol_info(self, symbol: str) -> SymbolInfo:
        self._require(symbol)
        what, terms = self._quotes.instruments[symbol], self._quotes.terms[symbol]
        bid, ask = self._quotes.newest(symbol) or (0.0, 0.0)
        newest = self._market.newest(symbol)
        rate = self._quotes.quote_rate(what)
        tick_value = round(what.contract_size * what.point * (rate or 0.0), 8)
        can_close_by = self._dealer.account.terms.is_hedging
        return SymbolInfo(
            **_terms(terms),
            **_nature(what),
            **_day(self._days.of(symbol)),
            select=symbol not in self._deselected,
            visible=symbol not in self._deselected,
            time=int(newest[0]["time"]) if len(newest) else 0,
            ticks_bookdepth=LEVELS,
            spread=round((ask - bid) / what.point),
            # What can not be valued in the account's currency is not traded.
            trade_mode=terms.trade_mode if rate is not None else mt5.SYMBOL_TRADE_MODE_DISABLED,
            order_mode=terms.order_mode if can_close_by else terms.order_mode & ~SYMBOL_ORDER_CLOSEBY,
            bid=bid,
            ask=ask,
            trade_tick_value=tick_value,
            trade_tick_value_profit=tick_value,
            trade_tick_value_loss=tick_value,
            margin_hedged=what.contract_size if terms.margin_hedged is None else terms.margin_hedged,
            session_buy_orders=sum(order.type % 2 == 0 for order in self._books.working_of(symbol)),
            session_sell_orders=sum(order.type % 2 == 1 for order in self._books.working_of(symbol)),
        )

    def symbol_info_tick(self, symbol: str) -> Tick:
        self._require(symbol)
        newest = self._market.newest(symbol)
        if not len(newest):
            raise TerminalError(*NOT_FOUND)
        return Tick(*newest[0].item())

    def symbol_select(self, symbol: str, enable: bool) -> bool:
        self._require(symbol, CALL_FAILED)
        if not enable and (self._books.positions_of(symbol) or self._books.working_of(symbol)):
            raise TerminalError(*CALL_FAILED)
        (self._deselected.discard if enable else self._deselected.add)(symbol)
        return True

    def copy_ticks_from(self, symbol: str, since_s: int, count: int, flags: int) -> bytes:
        """At most `count` released ticks from second `since_s` on, as records."""
        self._require(symbol)
        if count <= 0 or since_s < 0 or flags not in _TICK_FLAGS:
            raise TerminalError(*INVALID_PARAMS)
        if flags == mt5.COPY_TICKS_TRADE:
            return b""  # this market quotes; nothing in it is a trade of others
        ticks = self._market.ticks(symbol)
        first = first_at(ticks, since_s * 1000)
        return ticks[first : first + count].tobytes()

    def copy_ticks_range(self, symbol: str, since_s: int, until_s: int, flags: int) -> bytes:
        """The released ticks from second `since_s` to the beginning of second `until_s` (0: to the newest)."""
        self._require(symbol)
        if since_s < 0 or until_s < 0 or flags not in _TICK_FLAGS:
            raise TerminalError(*INVALID_PARAMS)
        if flags == mt5.COPY_TICKS_TRADE:
            return b""
        ticks = self._market.ticks(symbol)
        last = first_after(ticks, until_s * 1000) if until_s else len(ticks)
        return ticks[first_at(ticks, since_s * 1000) : last].tobytes()

    def order_calc_margin(self, action: int, symbol: str, volume: float, price: float) -> float:
        self._require_sum(symbol, action, volume, price)
        return self._known(self._dealer.calc_margin(symbol, volume, price))

    def order_calc_profit(self, action: int, symbol: str, volume: float, opened_at: float, closed_at: float) -> float:
        self._require_sum(symbol, action, volume, opened_at, closed_at)
        return self._known(self._dealer.calc_profit(action, symbol, volume, opened_at, closed_at))

    def _require_sum(self, symbol: str, action: int, *amounts: float) -> None:
        self._require(symbol)
        if action not in (mt5.ORDER_TYPE_BUY, mt5.ORDER_TYPE_SELL) or not all(amount > 0 for amount in amounts):
            raise TerminalError(*INVALID_PARAMS)

    def _known(self, money: float | None) -> float:
        if money is None:
            raise TerminalError(*CALL_FAILED)
        return money

    def _require(self, symbol: str, failure: tuple[int, str] = NOT_FOUND) -> None:
        if symbol not in self._market.symbols:
            raise TerminalError(*failure)


def _nature(what: Instrument) -> dict[str, Any]:
    """The fields of SymbolInfo that never change."""
    return {
        "digits": what.digits,
        "spread_float": True,
        "trade_calc_mode": what.calc_mode,
        "point": what.point,
        "trade_tick_size": what.point,
        "trade_contract_size": what.contract_size,
        "currency_base": what.base,
        "currency_profit": what.quote,
        "currency_margin": what.margin_currency,
        "description": f"{what.base} in {what.quote}",
        "name": what.name,
        "path": f"{'Forex' if what.is_forex else 'Metals' if what.base.startswith('X') else 'CFD'}\\{what.name}",
    }


def _terms(terms: Terms) -> dict[str, Any]:
    """The fields of SymbolInfo that are terms as they stand."""
    names = (
        "trade_exemode", "trade_stops_level", "trade_freeze_level", "volume_min", "volume_max", "volume_step",
        "volume_limit", "filling_mode", "expiration_mode", "swap_mode", "swap_long", "swap_short",
        "swap_rollover3days", "margin_hedged_use_leg",
    )  # fmt: skip
    return {name: getattr(terms, name) for name in names}


def _day(day: DayRange | None) -> dict[str, Any]:
    """The fields of SymbolInfo that tell of the day."""
    if day is None:
        return {}
    return {
        "bidhigh": day.bid_high,
        "bidlow": day.bid_low,
        "askhigh": day.ask_high,
        "asklow": day.ask_low,
        "session_open": day.open,
        "session_close": day.close_before,
        "price_change": round(day.change_percent, 4),
    }


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
