"""Whether an intent may become an order: small checks, in order; the first that denies decides.

Nothing here knows a price: whether a stop is far enough from the market is the terminal's to say.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import NamedTuple

from services.trading_engine.domain.order import AccountView, Exposure, Intent, Side, SymbolSpec, TradingState


class Denial(NamedTuple):
    """Why not: UPPER_SNAKE for programs, a sentence for people."""

    reason: str
    message: str


Check = Callable[[Intent, AccountView], Denial | None]


def decide(intent: Intent, view: AccountView) -> Denial | None:
    """None: it may be committed at the view's revision."""
    for check in CHECKS:
        denial = check(intent, view)
        if denial is not None:
            return denial
    return None


def agent_connected(intent: Intent, view: AccountView) -> Denial | None:
    if view.symbols is not None:
        return None
    return Denial("AGENT_NOT_CONNECTED", f"no agent of account {view.account} is connected; start it and send again")


def in_time(intent: Intent, view: AccountView) -> Denial | None:
    if view.now_unix_ms < intent.not_after_unix_ms:
        return None
    return Denial("SIGNAL_EXPIRED", "its time was over before it could be committed; send a new one")


def known_symbol(intent: Intent, view: AccountView) -> Denial | None:
    if view.symbols and intent.symbol in view.symbols:
        return None
    known = ", ".join(sorted(view.symbols or ())[:10]) or "none"
    return Denial("UNKNOWN_SYMBOL", f"the agent does not trade {intent.symbol!r}; it trades {known}")


def volume_within_limits(intent: Intent, view: AccountView) -> Denial | None:
    spec = _spec(intent, view)
    if intent.volume < spec.volume_min:
        return Denial("VOLUME_BELOW_MINIMUM", f"{intent.volume:f} lots; {intent.symbol} starts at {spec.volume_min:f}")
    if intent.volume > spec.volume_max:
        return Denial("VOLUME_ABOVE_MAXIMUM", f"{intent.volume:f} lots; {intent.symbol} ends at {spec.volume_max:f}")
    return None


def volume_on_step(intent: Intent, view: AccountView) -> Denial | None:
    step = _spec(intent, view).volume_step
    if step == 0 or intent.volume % step == 0:
        return None
    return Denial("VOLUME_OFF_STEP", f"{intent.volume:f} lots is no multiple of {intent.symbol}'s step of {step:f}")


def stops_on_their_sides(intent: Intent, view: AccountView) -> Denial | None:
    loss, profit = intent.stop_loss, intent.take_profit
    if loss is None or profit is None or (profit - loss) * intent.side.sign > 0:
        return None
    order = "below" if intent.side is Side.BUY else "above"
    return Denial(
        "STOPS_CROSSED",
        f"a {intent.side.name}'s stop loss stands {order} its take profit; here {loss:f} and {profit:f}",
    )


def symbol_not_frozen(intent: Intent, view: AccountView) -> Denial | None:
    unknown = view.total(intent.symbol).unknown_orders
    if unknown == 0:
        return None
    return Denial(
        "SYMBOL_FROZEN", f"{unknown} order(s) on {intent.symbol} may have been executed; wait until the agent finds out"
    )


def one_position(intent: Intent, view: AccountView) -> Denial | None:
    """A strategy has one order in flight, and one position that it may only make smaller, a symbol."""
    if not intent.strategy:
        return None
    held = view.exposure(intent.symbol, intent.strategy)
    if held.open_orders:
        return Denial("ORDER_IN_FLIGHT", f"{intent.strategy} has an order under way on {intent.symbol}")
    if held.net_volume == 0 or _reduces(intent, held.net_volume):
        return None
    return Denial(
        "POSITION_OPEN", f"{intent.strategy} holds {held.net_volume:+f} lots of {intent.symbol}; close it first"
    )


def trading_allowed(intent: Intent, view: AccountView) -> Denial | None:
    if view.trading_state is TradingState.HALTED:
        return Denial("TRADING_HALTED", f"trading on account {view.account} is halted; set it ACTIVE to trade")
    if view.trading_state is TradingState.REDUCING and not _only_reduces(intent, view.total(intent.symbol)):
        return Denial(
            "TRADING_STATE_REDUCING",
            f"account {view.account} may only make positions smaller, one order a symbol at a time; this would not",
        )
    return None


CHECKS: tuple[Check, ...] = (
    agent_connected,
    in_time,
    known_symbol,
    volume_within_limits,
    volume_on_step,
    stops_on_their_sides,
    symbol_not_frozen,
    one_position,
    trading_allowed,
)


def _spec(intent: Intent, view: AccountView) -> SymbolSpec:
    return (view.symbols or {})[intent.symbol]


def _reduces(intent: Intent, net: Decimal) -> bool:
    """Towards zero and not past it."""
    return net * intent.side.sign < 0 and intent.volume <= abs(net)


def _only_reduces(intent: Intent, total: Exposure) -> bool:
    # What is under way may already be closing the position: a second order could turn it round.
    return total.open_orders == 0 and _reduces(intent, total.net_volume)
