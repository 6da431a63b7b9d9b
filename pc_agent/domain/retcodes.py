"""What a terminal's answer to `order_send` means for the order."""

from enum import Enum

from mesh.orders import PENDING_KINDS, TRADES, Kind
from pc_agent.domain.orders import OrderState

REQUOTE, PLACED, DONE, DONE_PARTIAL = 10004, 10008, 10009, 10010
ERROR, TIMEOUT, PRICE_CHANGED, PRICE_OFF = 10011, 10012, 10020, 10021
TOO_MANY_REQUESTS, NO_CHANGES, LOCKED, CONNECTION = 10024, 10025, 10028, 10031

NAMES = {
    REQUOTE: "REQUOTE",
    10006: "REJECT",
    10007: "CANCEL",
    PLACED: "PLACED",
    DONE: "DONE",
    DONE_PARTIAL: "DONE_PARTIAL",
    ERROR: "ERROR",
    TIMEOUT: "TIMEOUT",
    10013: "INVALID",
    10014: "INVALID_VOLUME",
    10015: "INVALID_PRICE",
    10016: "INVALID_STOPS",
    10017: "TRADE_DISABLED",
    10018: "MARKET_CLOSED",
    10019: "NO_MONEY",
    PRICE_CHANGED: "PRICE_CHANGED",
    PRICE_OFF: "PRICE_OFF",
    10022: "INVALID_EXPIRATION",
    10023: "ORDER_CHANGED",
    TOO_MANY_REQUESTS: "TOO_MANY_REQUESTS",
    NO_CHANGES: "NO_CHANGES",
    10026: "SERVER_DISABLES_AT",
    10027: "CLIENT_DISABLES_AT",
    LOCKED: "LOCKED",
    10029: "FROZEN",
    10030: "INVALID_FILL",
    CONNECTION: "CONNECTION",
    10032: "ONLY_REAL",
    10033: "LIMIT_ORDERS",
    10034: "LIMIT_VOLUME",
    10035: "INVALID_ORDER",
    10036: "POSITION_CLOSED",
    10038: "INVALID_CLOSE_VOLUME",
    10039: "CLOSE_ORDER_EXIST",
    10040: "LIMIT_POSITIONS",
    10041: "REJECT_CANCEL",
    10042: "LONG_ONLY",
    10043: "SHORT_ONLY",
    10044: "CLOSE_ONLY",
    10045: "FIFO_CLOSE",
    10046: "HEDGE_PROHIBITED",
}


class Verdict(Enum):
    """What follows from a return code."""

    COMPLETE = "executed"
    RETRY = "not executed; may be sent again with a fresh price"
    RETRY_LATER = "not executed; may be sent again after a pause"
    AMBIGUOUS = "may have been executed; never sent again"
    REJECTED = "not executed"


_VERDICTS = {
    PLACED: Verdict.COMPLETE,
    DONE: Verdict.COMPLETE,
    DONE_PARTIAL: Verdict.COMPLETE,
    REQUOTE: Verdict.RETRY,
    PRICE_CHANGED: Verdict.RETRY,
    PRICE_OFF: Verdict.RETRY,
    TOO_MANY_REQUESTS: Verdict.RETRY_LATER,
    ERROR: Verdict.AMBIGUOUS,
    TIMEOUT: Verdict.AMBIGUOUS,
    LOCKED: Verdict.AMBIGUOUS,
    CONNECTION: Verdict.AMBIGUOUS,
}


_MODIFYING = frozenset({Kind.MODIFY_POSITION, Kind.MODIFY_ORDER})
# Their fills are told; the others change something, or make an order that waits.
_FILLED = TRADES - PENDING_KINDS


def verdict(kind: Kind, retcode: int) -> Verdict:
    """A code that is not known is the broker's word, and it did not say done."""
    if retcode == NO_CHANGES and kind in _MODIFYING:
        return Verdict.COMPLETE  # it is as asked already
    return _VERDICTS.get(retcode, Verdict.REJECTED)


def state_of(kind: Kind, retcode: int, is_told: bool) -> OrderState:
    """What an answer makes of an order. `is_told`: it names deal, price and volume."""
    outcome = verdict(kind, retcode)
    if outcome is Verdict.AMBIGUOUS:
        return OrderState.UNKNOWN
    if outcome is not Verdict.COMPLETE:
        return OrderState.REJECTED
    if kind in PENDING_KINDS:
        return OrderState.PLACED
    if retcode == PLACED or (kind in _FILLED and not is_told):
        return OrderState.UNKNOWN  # the broker has it: the books know what comes of it
    if kind in _FILLED:
        return OrderState.PARTIALLY_FILLED if retcode == DONE_PARTIAL else OrderState.FILLED
    return OrderState.DONE


def name(retcode: int) -> str:
    """UPPER_SNAKE."""
    return NAMES.get(retcode, f"RETCODE_{retcode}")
