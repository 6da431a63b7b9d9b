"""What a broker asks of every request: each rule gives the return code that refuses it, 0 when it does not."""

import math
from collections.abc import Callable, Sequence

from pc_agent.twin import constants as mt5
from pc_agent.twin.domain.netting import Side
from pc_agent.twin.domain.order_types import PENDING
from pc_agent.twin.domain.sessions import week
from pc_agent.twin.domain.situation import Situation
from pc_agent.twin.domain.terms import (
    SYMBOL_FILLING_BOC,
    SYMBOL_FILLING_FOK,
    SYMBOL_FILLING_IOC,
    SYMBOL_ORDER_SL,
    SYMBOL_ORDER_TP,
)

Rule = Callable[[Situation], int]

_FILLING_BIT = {
    mt5.ORDER_FILLING_FOK: SYMBOL_FILLING_FOK,
    mt5.ORDER_FILLING_IOC: SYMBOL_FILLING_IOC,
    mt5.ORDER_FILLING_BOC: SYMBOL_FILLING_BOC,
}
_NEVER_TRADED = (mt5.SYMBOL_TRADE_MODE_DISABLED,)


def first_refusal(situation: Situation, rules: Sequence[Rule]) -> int:
    """The return code of the first rule that refuses; 0: none does."""
    return next((code for rule in rules if (code := rule(situation))), 0)


def symbol_is_traded(s: Situation) -> int:
    """What can not be valued in the account's currency is not traded."""
    if s.terms.only_real and s.account.trade_mode != mt5.ACCOUNT_TRADE_MODE_REAL:
        return mt5.TRADE_RETCODE_ONLY_REAL
    if s.terms.trade_mode in _NEVER_TRADED or (s.quote is not None and s.quote_rate is None):
        return mt5.TRADE_RETCODE_TRADE_DISABLED
    return 0


def market_is_open(s: Situation) -> int:
    if not week(s.terms.sessions).is_open(s.now_msc):
        return mt5.TRADE_RETCODE_MARKET_CLOSED
    return 0 if s.quote is not None else mt5.TRADE_RETCODE_PRICE_OFF


def volume_is_valid(s: Situation) -> int:
    """Within the limits and on the step; NaN is not."""
    volume, terms = s.request.volume, s.terms
    if not terms.volume_min <= volume <= terms.volume_max:
        return mt5.TRADE_RETCODE_INVALID_VOLUME
    steps = volume / terms.volume_step
    return 0 if abs(steps - round(steps)) < 1e-6 else mt5.TRADE_RETCODE_INVALID_VOLUME


def expiration_is_valid(s: Situation) -> int:
    """Of a kind that the symbol has, and in the future."""
    request, refused = s.request, mt5.TRADE_RETCODE_INVALID_EXPIRATION
    if request.type_time > mt5.ORDER_TIME_SPECIFIED_DAY or not s.terms.expiration_mode & (1 << request.type_time):
        return refused
    if request.type_time == mt5.ORDER_TIME_SPECIFIED and request.expiration <= s.now_s:
        return refused
    if request.type_time == mt5.ORDER_TIME_SPECIFIED_DAY and request.expiration // 86_400 < s.now_s // 86_400:
        return refused
    return 0


def filling_is_valid(s: Situation) -> int:
    """FOK and IOC as the symbol has them; what remains may stay, but not of a market order in market execution;
    BOC is for what waits as a limit."""
    filling, pends = s.request.type_filling, s.request.type in PENDING
    if filling == mt5.ORDER_FILLING_RETURN:
        good = pends or s.terms.trade_exemode != mt5.SYMBOL_TRADE_EXECUTION_MARKET
    else:
        good = bool(s.terms.filling_mode & _FILLING_BIT.get(filling, 0))
        good = good and (filling != mt5.ORDER_FILLING_BOC or pends)
    return 0 if good else mt5.TRADE_RETCODE_INVALID_FILL


def stops_are_allowed(s: Situation) -> int:
    given = (SYMBOL_ORDER_SL if s.request.sl else 0) | (SYMBOL_ORDER_TP if s.request.tp else 0)
    return mt5.TRADE_RETCODE_INVALID_STOPS if given & ~s.terms.order_mode else 0


def stops_refusal(s: Situation, side: Side, price: float) -> int:
    """A stop loss lies on the losing side of `price`, a take profit beyond it, both at least the stops level away."""
    for stop, direction in ((s.request.sl, -side), (s.request.tp, side)):
        if not math.isfinite(stop) or stop < 0:
            return mt5.TRADE_RETCODE_INVALID_STOPS
        if stop > 0 and (not is_on_grid(s, stop) or not is_beyond(s, stop, price, direction)):
            return mt5.TRADE_RETCODE_INVALID_STOPS
    return 0


def is_beyond(s: Situation, price: float, other: float, direction: int) -> bool:
    """Whether `price` lies over (1) or under (-1) the `other`, at least the stops level away."""
    away = s.points(price, other) * direction
    return away > 0 and away >= s.terms.trade_stops_level


def is_on_grid(s: Situation, price: float) -> bool:
    points = price / s.what.point
    return abs(points - round(points)) < 1e-3


def is_frozen(s: Situation, price: float, market: float) -> bool:
    """Whether `price` is so near to the market's that it must not be touched any more."""
    level = s.terms.trade_freeze_level
    return bool(price and level) and abs(s.points(price, market)) <= level


def direction_refusal(s: Situation, side: Side) -> int:
    """Of what would open or enlarge a position."""
    match s.terms.trade_mode:
        case mt5.SYMBOL_TRADE_MODE_CLOSEONLY:
            return mt5.TRADE_RETCODE_CLOSE_ONLY
        case mt5.SYMBOL_TRADE_MODE_LONGONLY if side == -1:
            return mt5.TRADE_RETCODE_LONG_ONLY
        case mt5.SYMBOL_TRADE_MODE_SHORTONLY if side == 1:
            return mt5.TRADE_RETCODE_SHORT_ONLY
    return 0
