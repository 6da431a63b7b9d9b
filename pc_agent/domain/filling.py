"""How much of an order must be filled at once, and how long it may wait, as the symbol allows.

SYMBOL_FILLING_* is a bit mask with a numbering of its own, ORDER_FILLING_* are the values of a request.
"""

from mesh.orders import PENDING_KINDS, Kind

_SYMBOL_FOK, _SYMBOL_IOC = 1, 2
_EXECUTION_MARKET = 2
_FOK, _IOC, _RETURN = 0, 1, 2
_SYMBOL_TILL_CANCELED = 1
_TILL_CANCELED, _DAY, _SPECIFIED = 0, 1, 2


def filling(kind: Kind, mask: int, execution_mode: int) -> int:
    """ORDER_FILLING_* of an order that trades: whole or nothing where the symbol has that.

    A pending order's rest stays at the broker. Market execution leaves no rest, whatever the mask says.
    """
    if kind in PENDING_KINDS:
        return _RETURN
    if mask & _SYMBOL_FOK:
        return _FOK
    if mask & _SYMBOL_IOC:
        return _IOC
    return _FOK if execution_mode == _EXECUTION_MARKET else _RETURN


def type_time(expires: bool, mask: int) -> int:
    """ORDER_TIME_*; an order that is executed at once needs none, but bears one that the symbol has."""
    if expires:
        return _SPECIFIED
    return _TILL_CANCELED if mask & _SYMBOL_TILL_CANCELED else _DAY
