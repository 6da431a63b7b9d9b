"""The end of the trade server's day: at its midnight what is open is charged swap, and a new day begins."""

_DAY_S = 86_400


def is_ending(server_s: int, before_s: int) -> bool:
    """Whether the server's clock is within so long before its midnight."""
    return _DAY_S - server_s % _DAY_S <= before_s


def day_of(server_s: int) -> int:
    return server_s // _DAY_S
