"""When a pending order expires, by the trade server's clock."""

from pc_agent.twin import constants as mt5

_DAY_S = 86_400


def expires_at(type_time: int, expiration: int, now_s: int) -> int:
    """The second from which on it waits no more; 0: it waits until it is removed."""
    match type_time:
        case mt5.ORDER_TIME_DAY:
            return _end_of_day(now_s)
        case mt5.ORDER_TIME_SPECIFIED:
            return expiration
        case mt5.ORDER_TIME_SPECIFIED_DAY:
            return _end_of_day(expiration)
    return 0


def _end_of_day(time_s: int) -> int:
    return time_s // _DAY_S * _DAY_S + _DAY_S - 1
