"""The end of the trade server's day: at its midnight what is open is charged swap, and a new day begins.

A symbol's quotes may end before that: nothing can be closed any more then. Times are seconds of the server's clock;
`quotes_end_s` is midnight where nothing else is known, the day's beginning where the day has no quotes.
"""

_DAY_S = 86_400


def day_of(server_s: int) -> int:
    return server_s // _DAY_S


def is_ending(server_s: int, before_s: int, quotes_end_s: int) -> bool:
    """From so long before the last quotes of the day, or before its midnight where it has none, until midnight."""
    midnight_s = _midnight_after(server_s)
    end_s = quotes_end_s if quotes_end_s > midnight_s - _DAY_S else midnight_s
    return end_s - server_s <= before_s


def is_to_be_closed(server_s: int, before_s: int, quotes_end_s: int) -> bool:
    """While quotes are about to end; and once more before midnight, should they have gone on after all."""
    midnight_s = _midnight_after(server_s)
    if quotes_end_s <= midnight_s - _DAY_S:
        return False
    is_last_chance = midnight_s - server_s <= before_s
    return is_last_chance or quotes_end_s - before_s <= server_s < quotes_end_s


def was_left_open(opened_s: int, server_s: int, quotes_end_s: int) -> bool:
    """It is of another day, or the quotes of this one are over."""
    return day_of(opened_s) < day_of(server_s) or quotes_end_s <= server_s


def _midnight_after(server_s: int) -> int:
    return (day_of(server_s) + 1) * _DAY_S
