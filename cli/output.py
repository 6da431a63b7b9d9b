"""What commands print: a table for people, JSON for programs, an error in one sentence."""

import base64
import json
import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NoReturn

import grpc
import typer
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from mesh.errors import MeshError, Reason

# Beside 0 (as asked) and 2 (typer's: the command line is wrong).
EXIT_REFUSED = 1
EXIT_UNREACHABLE = 3
# Nobody looks at a pipe's width: rows stay whole for grep.
_PIPED_WIDTH = 400


class NotAnsweredError(Exception):
    """A call got no answer; the message says who is away, as far as that is known."""


def to_dict(message: Message) -> dict[str, Any]:
    """A message under the contract's field names: numbers as numbers (protobuf's own JSON has strings for 64 bits),
    enums by name, bytes as base64, what is absent as None; Google's well-known types as protobuf writes them."""
    if message.DESCRIPTOR.full_name.startswith("google.protobuf."):
        pool: Any = message.DESCRIPTOR.file.pool
        # A Timestamp is a string then: as good where it is only printed.
        return MessageToDict(message, preserving_proto_field_name=True, descriptor_pool=pool)
    return {field.name: _field(message, field) for field in message.DESCRIPTOR.fields}


def _field(message: Message, field: Any) -> Any:
    if field.is_repeated:
        value = getattr(message, field.name)
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            kind = field.message_type.fields_by_name["value"]
            return {key: _value(item, kind) for key, item in value.items()}
        return [_value(item, field) for item in value]
    if field.has_presence and not message.HasField(field.name):
        return None
    return _value(getattr(message, field.name), field)


def _value(value: Any, field: Any) -> Any:
    if field.enum_type is not None:
        named = field.enum_type.values_by_number.get(value)
        return value if named is None else named.name
    if field.message_type is not None:
        return to_dict(value)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"  # as protobuf writes them
    return value


def utc(unix_ms: int) -> str:
    """A moment for people."""
    return f"{server_time(unix_ms)}Z"


def since(unix_ms: int) -> str:
    """A moment in a table, to the second; a narrow one breaks it between day and time."""
    return f"{datetime.fromtimestamp(unix_ms // 1000, UTC):%Y-%m-%d %H:%M:%S}Z"


def server_time(time_msc: int) -> str:
    """A moment of the trade server's clock, which bears no zone, as `--from` takes it."""
    moment = datetime.fromtimestamp(time_msc / 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{time_msc % 1000:03d}"


def decimals(prices: Iterable[float]) -> int:
    """Of the longest of them, without the noise that a difference of two doubles has."""
    return max((-_exponent(price) for price in prices), default=0)


def _exponent(price: float) -> int:
    exponent = Decimal(f"{price:.10g}").normalize().as_tuple().exponent
    return min(exponent, 0) if isinstance(exponent, int) else 0  # infinite and NaN have none


def print_json(value: Any, indent: int | None = None) -> None:
    print(json.dumps(value, ensure_ascii=False, indent=indent), flush=True)


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]], empty: str) -> None:
    """Rows under their columns, or the sentence `empty`.

    On a terminal a column that has nothing to say is left out, and who a row is about stays in one piece.
    """
    if not rows:
        print(empty)
        return
    # Cells are what programs and people said of themselves, brackets included.
    console = Console(markup=False, emoji=False)
    shown = list(range(len(columns)))
    if console.is_terminal:
        shown = [number for number in shown if any(row[number] != "-" for row in rows)]
    else:
        console.width = _PIPED_WIDTH
    table = Table(box=None, pad_edge=False, header_style="bold")
    for number in shown:
        table.add_column(columns[number], overflow="fold", no_wrap=number == 0)
    for row in rows:
        table.add_row(*(str(row[number]) for number in shown))
    console.print(table)


def progress(what: str, total: int) -> Progress:
    """A bar of one task on standard error, seen by people only; it is to be entered."""
    counts = TextColumn("{task.completed:,.0f} of {task.total:,.0f}")
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:3.0f} %"), counts,
               TimeRemainingColumn())  # fmt: skip
    console = Console(stderr=True)
    bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    bar.add_task(what, total=total)
    return bar


def fail(message: str, status: int = EXIT_REFUSED) -> NoReturn:
    sys.stderr.write(f"suho: {message}\n")
    raise typer.Exit(status)


@contextmanager
def calls_explained() -> Iterator[None]:
    """Failed calls end the command with a sentence and a status."""
    try:
        yield
    except NotAnsweredError as error:
        fail(str(error), EXIT_UNREACHABLE)
    except grpc.aio.AioRpcError as rpc_error:
        refusal = MeshError.of(rpc_error)
        if refusal.reason in (Reason.UNREACHABLE, Reason.DEADLINE_EXCEEDED):
            fail(
                "nobody answers: is the platform running? `suho up` starts it, `suho logs NAME` tells why one is away",
                EXIT_UNREACHABLE,
            )
        fail(f"{refusal.message} [{refusal.reason}]", status_of(refusal))


def status_of(refusal: MeshError) -> int:
    """What a command ends with that is refused so: not, or only not now."""
    cannot_now = refusal.code is grpc.StatusCode.UNAVAILABLE or refusal.reason is Reason.DEADLINE_EXCEEDED
    return EXIT_UNREACHABLE if cannot_now else EXIT_REFUSED
