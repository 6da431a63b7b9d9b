"""What commands print: a table for people, JSON for programs, an error in one sentence."""

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

import grpc
import typer
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from rich.console import Console
from rich.table import Table

from mesh.errors import MeshError, Reason

# Beside 0 (as asked) and 2 (typer's: the command line is wrong).
EXIT_REFUSED = 1
EXIT_UNREACHABLE = 3


def to_dict(message: Message) -> dict[str, Any]:
    """A message with the contract's field names, absent values included."""
    return MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)


def print_json(value: Any) -> None:
    print(json.dumps(value, ensure_ascii=False))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]], empty: str) -> None:
    """Rows under their columns, or the sentence `empty`."""
    if not rows:
        print(empty)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(str(cell) for cell in row))
    Console(soft_wrap=True).print(table)


def fail(message: str, status: int = EXIT_REFUSED) -> NoReturn:
    sys.stderr.write(f"suho: {message}\n")
    raise typer.Exit(status)


@contextmanager
def calls_explained() -> Iterator[None]:
    """Failed calls end the command with a sentence and a status."""
    try:
        yield
    except grpc.aio.AioRpcError as rpc_error:
        error = MeshError.of(rpc_error)
        if error.reason in (Reason.UNREACHABLE, Reason.DEADLINE_EXCEEDED):
            fail(f"{error.message}; `suho status` tells what runs", EXIT_UNREACHABLE)
        fail(f"{error.message} [{error.reason}]")
