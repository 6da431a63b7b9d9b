"""Whether an intent may become an order: small checks, in order; the first that denies decides.

Entries can make an account's exposure larger. The other kinds make nothing larger: they pass a halt, whoever said it.
Nothing here knows a price: whether a stop is far enough from the market is the terminal's to say.
"""

from collections.abc import Callable
from decimal import Decimal
from itertools import pairwise
from typing import NamedTuple

from mesh.orders import ENTRIES, Kind
from services.trading_engine.domain.order import (
    AccountView,
    Exposure,
    HeldPosition,
    Intent,
    Side,
    SymbolSpec,
    TradingState,
    WorkingOrder,
)
from services.trading_engine.domain.order import SymbolTradeMode as Mode


class Denial(NamedTuple):
    """Why not: UPPER_SNAKE for programs, a sentence for people."""

    reason: str
    message: str


Check = Callable[[Intent, AccountView], Denial | None]

# They deal on a position: in doubt they could close it twice.
_ON_POSITIONS = frozenset({Kind.CLOSE, Kind.CLOSE_BY})


def decide(intent: Intent, view: AccountView) -> Denial | None:
    """None: it may be committed at the view's revision."""
    for check in CHECKS if intent.kind in ENTRIES else CHANGE_CHECKS:
        denial = check(intent, view)
        if denial is not None:
            return denial
    return None


def agent_connected(intent: Intent, view: AccountView) -> Denial | None:
    if view.symbols is not None:
        return None
    return Denial("AGENT_NOT_CONNECTED", f"no agent of account {view.account} is connected; start it and send again")


def in_time(intent: Intent, view: AccountView) -> Denial | None:
    if view.now_unix_ms >= intent.not_after_unix_ms:
        return Denial("SIGNAL_EXPIRED", "its time was over before it could be committed; send a new one")
    if 0 < intent.expires_unix_ms <= view.now_unix_ms:
        return Denial("EXPIRATION_PASSED", "the broker is to drop it at a moment that has passed; give a later one")
    return None


def known_symbol(intent: Intent, view: AccountView) -> Denial | None:
    if view.symbols and intent.symbol in view.symbols:
        return None
    known = ", ".join(sorted(view.symbols or ())[:10]) or "none"
    return Denial("UNKNOWN_SYMBOL", f"the agent does not trade {intent.symbol!r}; it trades {known}")


def symbol_tradable(intent: Intent, view: AccountView) -> Denial | None:
    mode = _spec(intent, view).trade_mode
    if mode is Mode.DISABLED:
        return Denial("SYMBOL_TRADE_DISABLED", f"the broker does not let {intent.symbol} be traded")
    wrong = {Mode.LONG_ONLY: Side.SELL, Mode.SHORT_ONLY: Side.BUY, Mode.CLOSE_ONLY: intent.side}.get(mode)
    if wrong is not intent.side or _only_reduces(intent, view):
        return None
    return Denial(f"SYMBOL_{mode.name}", f"the broker lets {intent.symbol} be traded {mode.name} only; this would not")


def volume_within_limits(intent: Intent, view: AccountView) -> Denial | None:
    spec, volume = _spec(intent, view), _volume(intent)
    if volume < spec.volume_min:
        return Denial("VOLUME_BELOW_MINIMUM", f"{volume:f} lots; {intent.symbol} starts at {spec.volume_min:f}")
    if volume > spec.volume_max:
        return Denial("VOLUME_ABOVE_MAXIMUM", f"{volume:f} lots; {intent.symbol} ends at {spec.volume_max:f}")
    return None


def volume_on_step(intent: Intent, view: AccountView) -> Denial | None:
    step = _spec(intent, view).volume_step
    if step == 0 or _volume(intent) % step == 0:
        return None
    return Denial("VOLUME_OFF_STEP", f"{intent.volume:f} lots is no multiple of {intent.symbol}'s step of {step:f}")


def stops_on_their_sides(intent: Intent, view: AccountView) -> Denial | None:
    side = intent.side or _position_side(intent, view)
    if side is None:
        return None
    # Where it is filled at: of a pending order known, of a stop-limit the limit.
    entry = (intent.limit_price or intent.price) if intent.kind in ENTRIES else None
    rising = [("stop loss", intent.stop_loss), ("price", entry), ("take profit", intent.take_profit)]
    known = [(name, at) for name, at in rising if at is not None]
    for (lower, low), (upper, high) in pairwise(known):
        if (high - low) * side.sign <= 0:
            order = "below" if side is Side.BUY else "above"
            return Denial(
                "STOPS_CROSSED", f"a {side.name}'s {lower} stands {order} its {upper}; here {low:f} and {high:f}"
            )
    return None


def not_foreign(intent: Intent, view: AccountView) -> Denial | None:
    for found in _named(intent, view):
        if not found.signal_id:
            return Denial(
                "FOREIGN_TICKET",
                f"ticket {found.ticket} on {found.symbol} was not opened here and is never touched; a position can be"
                " adopted on the PC first",
            )
    return None


def tickets_of_its_symbol(intent: Intent, view: AccountView) -> Denial | None:
    """What is checked of the symbol must hold for the ticket."""
    for found in _named(intent, view):
        if found.symbol != intent.symbol:
            return Denial(
                "WRONG_SYMBOL",
                f"ticket {found.ticket} is on {found.symbol}, not on {intent.symbol}; the symbol may be left out",
            )
    return None


def closes_what_is_held(intent: Intent, view: AccountView) -> Denial | None:
    if intent.kind is Kind.CLOSE_BY and view.symbols is not None and not view.hedging:
        return Denial("HEDGING_ONLY", "positions close each other on hedging accounts only; use a CLOSE")
    held = view.books.positions.get(intent.position) if view.books else None
    if intent.kind is not Kind.CLOSE or held is None:
        return None
    if intent.side is held.side:
        return Denial("WRONG_SIDE", f"position {held.ticket} is a {held.side.name}; it is closed by the other side")
    if _volume(intent) > held.volume:
        return Denial("VOLUME_ABOVE_POSITION", f"{intent.volume:f} lots; position {held.ticket} has {held.volume:f}")
    return None


def symbol_not_frozen(intent: Intent, view: AccountView) -> Denial | None:
    unknown = view.total(intent.symbol).unknown_orders
    if unknown == 0 or intent.kind not in ENTRIES | _ON_POSITIONS:
        return None
    return Denial(
        "SYMBOL_FROZEN", f"{unknown} order(s) on {intent.symbol} may have been executed; wait until the agent finds out"
    )


def one_order(intent: Intent, view: AccountView) -> Denial | None:
    """A strategy has one order in flight a symbol."""
    if not intent.strategy or not view.exposure(intent.symbol, intent.strategy).open_orders:
        return None
    return Denial("ORDER_IN_FLIGHT", f"{intent.strategy} has an order under way on {intent.symbol}")


def one_position(intent: Intent, view: AccountView) -> Denial | None:
    """A strategy has one position a symbol, which it may only make smaller."""
    held = view.exposure(intent.symbol, intent.strategy)
    if not intent.strategy or held.net_volume == 0 or _reduces(intent, view, held):
        return None
    net = held.net_volume
    return Denial("POSITION_OPEN", f"{intent.strategy} holds {net:+f} lots of {intent.symbol}; close it first")


def market_fits(intent: Intent, view: AccountView) -> Denial | None:
    """A person may know better; a strategy keeps away."""
    market = view.markets.get(intent.symbol)
    if not intent.strategy or market is None:
        return None
    if not market.session_open:
        return Denial("MARKET_CLOSED", f"the session of {intent.symbol} is closed")
    if market.news and not _reduces(intent, view, view.exposure(intent.symbol, intent.strategy)):
        return Denial("NEWS_WINDOW", f"{intent.symbol} is within the window of {market.news!r}")
    return None


def trading_allowed(intent: Intent, view: AccountView) -> Denial | None:
    if view.trading_state is TradingState.HALTED:
        why = f" ({view.state_reason})" if view.state_reason else ""
        return Denial("TRADING_HALTED", f"trading on account {view.account} is halted{why}; `suho resume` lifts it")
    if view.trading_state is TradingState.REDUCING and not _only_reduces(intent, view):
        return Denial(
            "TRADING_STATE_REDUCING",
            f"account {view.account} may only make positions smaller, one order a symbol at a time; this would not",
        )
    return None


def agent_allows(intent: Intent, view: AccountView) -> Denial | None:
    if view.halt is None:
        return None
    return Denial(view.halt.reason, f"the agent takes no entries: {view.halt.message or view.halt.reason}")


CHECKS: tuple[Check, ...] = (
    agent_connected,
    in_time,
    known_symbol,
    volume_within_limits,
    volume_on_step,
    stops_on_their_sides,
    symbol_not_frozen,
    one_order,
    one_position,
    symbol_tradable,
    trading_allowed,
    agent_allows,
    market_fits,
)

CHANGE_CHECKS: tuple[Check, ...] = (
    agent_connected,
    in_time,
    not_foreign,
    tickets_of_its_symbol,
    closes_what_is_held,
    stops_on_their_sides,
    symbol_not_frozen,
    one_order,
)


def _spec(intent: Intent, view: AccountView) -> SymbolSpec:
    return (view.symbols or {})[intent.symbol]


def _volume(intent: Intent) -> Decimal:
    return intent.volume or Decimal(0)


def _named(intent: Intent, view: AccountView) -> list[HeldPosition | WorkingOrder]:
    """The tickets that it names, as far as the agent has told of them."""
    if view.books is None:
        return []
    positions, orders = view.books.positions, view.books.orders
    found = [positions.get(intent.position), positions.get(intent.opposite_position), orders.get(intent.order_ticket)]
    return [one for one in found if one is not None]


def _position_side(intent: Intent, view: AccountView) -> Side | None:
    held = view.books.positions.get(intent.position) if view.books else None
    return held.side if held else None


def _reduces(intent: Intent, view: AccountView, held: Exposure) -> bool:
    """Towards zero and not past it, at once. Where positions stand beside each other, an entry is always one more."""
    if view.hedging or intent.kind is not Kind.MARKET or intent.side is None:
        return False
    return held.net_volume * intent.side.sign < 0 and _volume(intent) <= abs(held.net_volume)


def _only_reduces(intent: Intent, view: AccountView) -> bool:
    total = view.total(intent.symbol)
    # What is under way may already be closing the position: a second order could turn it round.
    return total.open_orders == 0 and _reduces(intent, view, total)
