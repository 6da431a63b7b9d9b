"""protobuf's Struct as plain values."""

from collections.abc import Mapping
from typing import Any

from google.protobuf.struct_pb2 import Struct, Value

# Doubles, the only numbers of a Struct, hold every whole number up to here.
_WHOLE = 2.0**53


def values_of(struct: Struct) -> dict[str, Any]:
    """As JSON has them, by name; whole numbers are ints, as far as a double can tell."""
    return {name: _plain(value) for name, value in sorted(struct.fields.items())}


def struct_of(values: Mapping[str, Any]) -> Struct:
    """Raises ValueError: a value is none that JSON knows."""
    struct = Struct()
    struct.update(values)
    return struct


def _plain(value: Value) -> Any:
    match value.WhichOneof("kind"):
        case "number_value":
            number = value.number_value
            return int(number) if abs(number) <= _WHOLE and number.is_integer() else number
        case "bool_value":
            return value.bool_value
        case "string_value":
            return value.string_value
        case "list_value":
            return [_plain(item) for item in value.list_value.values]
        case "struct_value":
            return values_of(value.struct_value)
        case _:
            return None
