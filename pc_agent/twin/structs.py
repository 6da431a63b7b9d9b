"""The result types as a client of the package sees them: the interpreter's struct sequences, not named tuples.

They are built from one sequence, have `_asdict` but neither `_fields` nor `_replace`, and can not be pickled.
"""

from collections.abc import Mapping
from operator import itemgetter
from types import MappingProxyType
from typing import Any

from pc_agent.twin import results


def _struct(row: type[Any]) -> type[Any]:
    """The struct sequence with the name and the fields of `row`, a named tuple."""
    name, fields = row.__name__, row._fields

    def new(cls: type[Any], *args: Any, **named: Any) -> Any:
        values = _values(name, args, named)
        if len(values) != len(fields):
            raise TypeError(f"{name}() takes a {len(fields)}-sequence ({len(values)}-sequence given)")
        return tuple.__new__(cls, values)

    def shown(self: Any) -> str:
        return f"{name}({', '.join(f'{field}={value!r}' for field, value in zip(fields, self, strict=True))})"

    def as_dict(self: Any) -> dict[str, Any]:
        return dict(zip(fields, self, strict=True))

    members: dict[str, Any] = {field: property(itemgetter(place)) for place, field in enumerate(fields)}
    own = {
        "__slots__": (),
        "__module__": "builtins",
        "__match_args__": fields,
        "__new__": new,
        "__repr__": shown,
        "_asdict": as_dict,
        "n_fields": len(fields),
        "n_sequence_fields": len(fields),
        "n_unnamed_fields": 0,
    }
    return type(name, (tuple,), members | own)


def _values(name: str, args: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, ...]:
    if len(args) + len(named) > 2:
        raise TypeError(f"structseq() takes at most 2 arguments ({len(args) + len(named)} given)")
    given = dict(zip(("sequence", "dict"), args, strict=False)) | named
    if "sequence" not in given:
        raise TypeError("structseq() missing required argument 'sequence' (pos 1)")
    if unknown := set(given) - {"sequence", "dict"}:
        raise TypeError(f"'{unknown.pop()}' is an invalid keyword argument for structseq()")
    try:
        values = tuple(given["sequence"])
    except TypeError:
        raise TypeError("constructor requires a sequence") from None
    if not isinstance(given.get("dict", {}), dict):
        raise TypeError(f"{name}() takes a dict as second arg, if any")
    return values


AccountInfo = _struct(results.AccountInfo)
BookInfo = _struct(results.BookInfo)
OrderCheckResult = _struct(results.OrderCheckResult)
OrderSendResult = _struct(results.OrderSendResult)
SymbolInfo = _struct(results.SymbolInfo)
TerminalInfo = _struct(results.TerminalInfo)
Tick = _struct(results.Tick)
TradeDeal = _struct(results.TradeDeal)
TradeOrder = _struct(results.TradeOrder)
TradePosition = _struct(results.TradePosition)
TradeRequest = _struct(results.TradeRequest)

STRUCTS: Mapping[str, type[Any]] = MappingProxyType(
    {
        struct.__name__: struct
        for struct in (
            AccountInfo, BookInfo, OrderCheckResult, OrderSendResult, SymbolInfo, TerminalInfo, Tick, TradeDeal,
            TradeOrder, TradePosition, TradeRequest,
        )
    }
)  # fmt: skip


def as_struct(row: Any) -> Any:
    """A row of the terminal, and the request that it may hold, as the package hands it out."""
    struct = STRUCTS[type(row).__name__]
    if isinstance(row, results.OrderCheckResult | results.OrderSendResult):
        row = row._replace(request=as_struct(row.request))
    return tuple.__new__(struct, row)
