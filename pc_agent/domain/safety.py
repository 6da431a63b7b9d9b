"""What this PC allows by itself, whatever the engine says: caps, and what stops every entry."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum

from mesh.orders import ENTRIES, Kind
from pc_agent.domain.books import BookOrder, BookPosition, lots
from pc_agent.domain.live_settings import LiveSettings
from pc_agent.domain.orders import Side, Signal
from pc_agent.domain.refusal import Refusal

ZERO = Decimal(0)
DAY_S = 86_400
# How long an entry counts for `max_orders_per_minute`.
RATE_S = 60
# Kinds that touch a position.
_ON_POSITIONS = frozenset({Kind.CLOSE, Kind.CLOSE_BY, Kind.MODIFY_POSITION})


class TradingState(StrEnum):
    """The engine's say (suho.trading.v1.TradingState)."""

    ACTIVE = "ACTIVE"
    REDUCING = "REDUCING"
    HALTED = "HALTED"


@dataclass(frozen=True, slots=True)
class Stand:
    """This PC's own say about an account; halted: only what makes positions smaller."""

    halted: bool = False
    reason: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Exposure:
    """Of one symbol, in lots: what is held, long and short, and what is ordered and may still be filled."""

    long: Decimal = ZERO
    short: Decimal = ZERO
    buying: Decimal = ZERO
    selling: Decimal = ZERO

    @property
    def net(self) -> Decimal:
        return self.long - self.short


@dataclass(frozen=True, slots=True)
class Account:
    """What the caps are measured on. `places`: open positions, pending orders and entries under way."""

    exposures: Mapping[str, Exposure]
    places: int
    entries_last_minute: int
    hedging: bool


@dataclass(frozen=True, slots=True)
class UnderWay:
    """An entry that the books do not show yet; `filled`: by so many lots, None: that is not known."""

    signal: Signal
    filled: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """What the books show, by symbol: everybody's, not ours alone, for the account's money is at stake for all of it.

    `places`: open positions (netting: symbols that are held) and pending orders.
    """

    exposures: Mapping[str, Exposure]
    symbols: frozenset[str]
    places: int


def held(positions: Sequence[BookPosition], orders: Sequence[BookOrder], *, hedging: bool) -> Held:
    found: dict[str, Exposure] = {}
    for position in positions:
        _add(found, position.symbol, "long" if position.signed > 0 else "short", abs(position.signed))
    for order in orders:
        _add(found, order.symbol, "selling" if order.type % 2 else "buying", lots(order.rest))
    symbols = frozenset(position.symbol for position in positions)
    return Held(found, symbols, (len(positions) if hedging else len(symbols)) + len(orders))


def measure(books: Held, symbol: str, under_way: Mapping[str, Collection[UnderWay]], entries: int, *, hedging: bool
            ) -> Account:  # fmt: skip
    """As far as an entry on `symbol` is concerned; `under_way` by symbol."""
    shown = books.exposures.get(symbol, Exposure())
    lots_of = {"long": shown.long, "short": shown.short, "buying": shown.buying, "selling": shown.selling}
    for one in under_way.get(symbol, ()):
        buys = one.signal.side is Side.BUY
        if one.filled is None:
            lots_of["buying" if buys else "selling"] += Decimal(one.signal.volume)
        else:
            lots_of["long" if buys else "short"] += one.filled
    found = {symbol: Exposure(**lots_of)}
    if hedging:
        places = sum(len(some) for some in under_way.values())
    else:  # one position a symbol, however often it is traded
        places = sum(1 for name, some in under_way.items() if some and name not in books.symbols)
    return Account(found, books.places + places, entries, hedging)


def _add(found: dict[str, Exposure], symbol: str, name: str, volume: Decimal) -> None:
    before = found.get(symbol, Exposure())
    found[symbol] = replace(before, **{name: getattr(before, name) + volume})


def cap_refusal(signal: Signal, caps: LiveSettings, account: Account) -> Refusal | None:
    """What forbids an entry by its size or number; a cap of 0 is none."""
    if signal.kind not in ENTRIES:
        return None
    volume = Decimal(signal.volume)
    if caps.max_order_volume and volume > caps.max_order_volume:
        return Refusal("ORDER_VOLUME_CAP", f"{volume:f} lots; this PC allows {caps.max_order_volume:f} an order")
    after = _symbol_volume(signal, account)
    if caps.max_symbol_volume and after > caps.max_symbol_volume:
        words = f"{signal.symbol} would come to {after:f} lots; this PC allows {caps.max_symbol_volume:f}"
        return Refusal("SYMBOL_VOLUME_CAP", words)
    if caps.max_open_positions and account.places >= caps.max_open_positions and not _reduces(signal, account):
        words = f"{account.places} positions and orders are open; this PC allows {caps.max_open_positions}"
        return Refusal("OPEN_POSITIONS_CAP", words)
    if caps.max_orders_per_minute and account.entries_last_minute >= caps.max_orders_per_minute:
        words = f"{account.entries_last_minute} entries in a minute; this PC allows {caps.max_orders_per_minute}"
        return Refusal("ORDER_RATE_CAP", words)
    return None


def halt_refusal(signal: Signal, stand: Stand, engine: TradingState, account: Account) -> Refusal | None:
    """What forbids every entry: this PC, then the engine."""
    if signal.kind not in ENTRIES:
        return None
    if stand.halted:
        return Refusal(stand.reason, stand.message)
    if engine is TradingState.HALTED:
        return Refusal("TRADING_HALTED", "the engine has halted trading on this account; `suho resume` lifts it")
    if engine is TradingState.REDUCING and not _reduces(signal, account):
        return Refusal("TRADING_STATE_REDUCING", "the account may only make positions smaller; this would not")
    return None


def foreign_refusal(signal: Signal, foreign: Iterable[BookPosition], unknown: Iterable[BookOrder]) -> Refusal | None:
    """Positions and orders that nobody here asked for are not touched."""
    if signal.kind in _ON_POSITIONS:
        asked = {signal.position, signal.opposite_position} - {0}
        for position in foreign:
            if position.ticket in asked:
                words = f"position {position.ticket} is foreign; `suho agent adopt {position.ticket}` takes it over"
                return Refusal("FOREIGN_POSITION", words)
    if signal.kind in (Kind.MODIFY_ORDER, Kind.CANCEL_ORDER):
        for order in unknown:
            if order.ticket == signal.order_ticket:
                return Refusal("FOREIGN_ORDER", f"order {order.ticket} is foreign: it is not touched")
    return None


def _symbol_volume(signal: Signal, account: Account) -> Decimal:
    """The symbol's lots, were `signal` and all that is ordered in its direction filled: below 0 the other way."""
    at, volume = account.exposures.get(signal.symbol, Exposure()), Decimal(signal.volume)
    if account.hedging:
        return at.long + at.short + at.buying + at.selling + volume
    return (at.net + at.buying if signal.side is Side.BUY else at.selling - at.net) + volume


def _reduces(signal: Signal, account: Account) -> bool:
    """A market order against a net position that is at least as large, all that is under way counted."""
    if account.hedging or signal.kind is not Kind.MARKET:
        return False
    at = account.exposures.get(signal.symbol, Exposure())
    volume = Decimal(signal.volume)
    if signal.side is Side.BUY:
        return at.net < 0 and volume + at.buying <= -at.net
    return at.net > 0 and volume + at.selling <= at.net


@dataclass(frozen=True, slots=True)
class TradingDay:
    """The broker's day, its equity at the beginning, and whether it has lost as much as it may."""

    day: int = 0
    equity: Decimal = ZERO
    lost: bool = False

    def at(self, server_s: int | None, equity: Decimal, paid_in: Decimal, cap: Decimal) -> "TradingDay":
        """The day as it stands now; a new one begins with what the account is worth.

        `server_s` None: what time it is at the server is not known, and no day begins.

        `paid_in` since the last time, negative for what was taken out: it is neither gain nor loss. Once lost, a day
        stays lost: what comes back may go again.
        """
        day = self.day if server_s is None else server_s // DAY_S
        if day > self.day:
            return TradingDay(day, equity)
        if not self.day:
            return self
        begun = self.equity + paid_in
        return replace(self, equity=begun, lost=self.lost or bool(cap and begun - equity >= cap))
