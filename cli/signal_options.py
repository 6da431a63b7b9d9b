"""What a person wrote of a signal, judged before it is sent, in the words of the options."""

import re

import typer
from suho.trading.v1 import order_pb2, trading_pb2

from mesh.orders import ENTRIES, KIND_FIELDS, BadAmountError, Kind, kind_defect, price, volume

_OPTIONS = {
    "side": "--side",
    "volume": "--volume",
    "price": "--price",
    "limit_price": "--limit-price",
    "stop_loss": "--sl",
    "take_profit": "--tp",
    "position": "--position",
    "opposite_position": "--by",
    "order_ticket": "--order",
    "expires_unix_ms": "--expires",
    "deviation_points": "--deviation",
}
_FIELD = re.compile(rf"\b({'|'.join(_OPTIONS)})\b")
_PRICES = ("price", "limit_price", "stop_loss", "take_profit")


def refuse_unfit(request: trading_pb2.SubmitSignalRequest) -> None:
    """Raises typer.BadParameter where the kind lacks a field, has one too many, or a number is none."""
    kind = Kind(order_pb2.OrderKind.Name(request.kind).removeprefix("ORDER_KIND_"))
    # Of a close the engine finds out the rest.
    to_be_found = ("side", "volume") if kind is Kind.CLOSE else ()
    defect = kind_defect(kind, [field for field in KIND_FIELDS if getattr(request, field)], to_be_found)
    if defect:
        raise typer.BadParameter(_FIELD.sub(lambda found: _OPTIONS[found[0]], defect))
    if kind in ENTRIES and not request.symbol:
        raise typer.BadParameter(f"--symbol is missing; a {kind} needs it")
    refuse_bad_numbers(request)


def refuse_bad_numbers(request: trading_pb2.SubmitSignalRequest) -> None:
    """Raises typer.BadParameter."""
    try:
        if request.volume:
            volume(_OPTIONS["volume"], request.volume)
        for field in _PRICES:
            price(_OPTIONS[field], getattr(request, field))
    except BadAmountError as error:
        raise typer.BadParameter(str(error)) from None
