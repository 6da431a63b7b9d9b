"""What a terminal's answer to `order_send` means for the order."""

from enum import Enum

REQUOTE, PLACED, DONE, DONE_PARTIAL = 10004, 10008, 10009, 10010
ERROR, TIMEOUT, PRICE_CHANGED, PRICE_OFF = 10011, 10012, 10020, 10021
TOO_MANY_REQUESTS, LOCKED, CONNECTION = 10024, 10028, 10031

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
    10025: "NO_CHANGES",
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


def verdict(retcode: int | None) -> Verdict:
    """None stands for no answer at all, whatever the terminal says was its reason."""
    return Verdict.AMBIGUOUS if retcode is None else _VERDICTS.get(retcode, Verdict.REJECTED)


def name(retcode: int) -> str:
    """UPPER_SNAKE."""
    return NAMES.get(retcode, f"RETCODE_{retcode}")
