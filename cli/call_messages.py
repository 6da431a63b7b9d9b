"""Requests from JSON, and methods as people read them."""

import json
from collections.abc import Iterable
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.json_format import ParseDict, ParseError
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from cli.call_failure import CallError, Layer

_TYPES = {
    getattr(FieldDescriptor, name): name.removeprefix("TYPE_").lower()
    for name in dir(FieldDescriptor)
    if name.startswith("TYPE_")
}


def requests_from(text: str, kind: Any, pool: Any) -> list[Message]:
    """Messages of the descriptor `kind` from JSON objects, one behind the other; none given: one empty message.

    Raises:
        CallError: REQUEST, naming the field.
    """
    made = []
    for number, value in enumerate(_objects(text) or [{}], 1):
        message = GetMessageClass(kind)()
        try:
            ParseDict(value, message, descriptor_pool=pool)
        except ParseError as error:
            where = f"message {number}: " if number > 1 else ""
            raise CallError(Layer.REQUEST, f"{where}{_sentence(error)}", _describe(kind)) from None
        made.append(message)
    return made


def _objects(text: str) -> list[dict[str, Any]]:
    found, decoder = [], json.JSONDecoder()
    rest = text.strip()
    while rest:
        try:
            value, end = decoder.raw_decode(rest)
        except ValueError as error:
            raise CallError(Layer.REQUEST, f"the request is not JSON: {error}", "quote it: '{\"field\": 1}'") from None
        if not isinstance(value, dict):
            raise CallError(Layer.REQUEST, f"a request is a JSON object, and {json.dumps(value)[:40]} is none")
        found.append(value)
        rest = rest[end:].lstrip()
    return found


def _sentence(error: ParseError) -> str:
    """protobuf's own, which names the field, on one line."""
    return " ".join(str(error).split()).removesuffix(".")


def _describe(kind: Any) -> str:
    return f"--describe shows the fields of {kind.name}"


def signature(method: Any) -> dict[str, Any]:
    """A method for `--describe`: its messages as JSON skeletons."""
    return {
        "method": f"{method.containing_service.full_name}/{method.name}",
        "client_streaming": method.client_streaming,
        "server_streaming": method.server_streaming,
        "request_type": method.input_type.full_name,
        "request": skeleton(method.input_type),
        "response_type": method.output_type.full_name,
        "response": skeleton(method.output_type),
    }


def one_line(method: Any) -> str:
    """As it stands in a .proto."""
    taken = f"{'stream ' if method.client_streaming else ''}{method.input_type.name}"
    given = f"{'stream ' if method.server_streaming else ''}{method.output_type.name}"
    return f"{method.name}({taken}) returns ({given})"


def skeleton(kind: Any, inside: Iterable[str] = ()) -> Any:
    """Each field with its type in place of a value, enums with their names; a message within itself by its name."""
    inside = (*inside, kind.full_name)
    return {field.name: _shape(field, inside) for field in kind.fields}


def _shape(field: Any, inside: tuple[str, ...]) -> Any:
    message = field.message_type
    if message is not None and message.GetOptions().map_entry:
        key, value = (message.fields_by_name[name] for name in ("key", "value"))
        return {f"<{_TYPES[key.type]}>": _single(value, inside)}
    single = _single(field, inside)
    return [single] if field.is_repeated else single


def _single(field: Any, inside: tuple[str, ...]) -> Any:
    if field.enum_type is not None:
        return " | ".join(value.name for value in field.enum_type.values)
    oneof = field.containing_oneof
    # A proto3 `optional` is a oneof of its own, which nobody wrote.
    choice = f" (one of {oneof.name})" if oneof is not None and len(oneof.fields) > 1 else ""
    if field.message_type is None:
        return f"{_TYPES[field.type]}{choice}"
    if field.message_type.full_name in inside or field.message_type.full_name.startswith("google.protobuf."):
        return f"{field.message_type.full_name}{choice}"
    return skeleton(field.message_type, inside)
