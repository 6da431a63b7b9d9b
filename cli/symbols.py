"""Which symbol a person means: names that are known, and near ones where it is not."""

import difflib
from collections.abc import Sequence
from typing import Annotated

import grpc
import typer
from suho.database.v1 import tick_service_pb2, tick_service_pb2_grpc
from suho.market.v1 import bridge_pb2, bridge_pb2_grpc, tick_pb2

from cli.connection import TIMEOUT_S
from cli.output import fail

SymbolArgument = Annotated[str, typer.Argument(help="As the terminal names it, e.g. EURUSD.")]
ServerOption = Annotated[
    str, typer.Option("--server", help="Trade server, where several have the symbol; `suho ticks stats` names them.")
]


async def stored_symbols(channel: grpc.aio.Channel) -> Sequence[tick_service_pb2.StoredSymbol]:
    """Every symbol that has ticks."""
    stub = tick_service_pb2_grpc.TickServiceStub(channel)
    answer = await stub.ListSymbols(tick_service_pb2.ListSymbolsRequest(), timeout=TIMEOUT_S)
    return answer.symbols


async def find(channel: grpc.aio.Channel, symbol: str, server: str = "") -> list[tick_service_pb2.StoredSymbol]:
    """The symbol on each server that has it; ends the command when none has."""
    known = await stored_symbols(channel)
    found = [item for item in known if item.symbol.symbol == symbol and server in ("", item.symbol.server)]
    if not found:
        fail(unknown(symbol, server, [item.symbol for item in known]))
    return found


async def find_one(channel: grpc.aio.Channel, symbol: str, server: str = "") -> tick_service_pb2.StoredSymbol:
    """The symbol; ends the command when none or several servers have it."""
    found = await find(channel, symbol, server)
    if len(found) > 1:
        fail(_several(symbol, [item.symbol.server for item in found]))
    return found[0]


def choose(
    symbol: str, server: str, streaming: Sequence[tick_pb2.SymbolRef], stored: Sequence[tick_pb2.SymbolRef]
) -> tick_pb2.SymbolRef:
    """The one that is meant: of several servers, the one that streams it; ends the command when none or several do."""
    found: list[tick_pb2.SymbolRef] = []
    for refs in (streaming, stored):
        found = found or [ref for ref in refs if ref.symbol == symbol and server in ("", ref.server)]
    if not found:
        fail(unknown(symbol, server, [*streaming, *stored]))
    if len({ref.server for ref in found}) > 1:
        fail(_several(symbol, [ref.server for ref in found]))
    return found[0]


async def require_known(channel: grpc.aio.Channel, symbol: str, server: str = "") -> None:
    """End the command unless the symbol has ticks, or streams although none is stored yet."""
    bridge = bridge_pb2_grpc.BridgeServiceStub(channel)
    status = await bridge.GetBridgeStatus(bridge_pb2.GetBridgeStatusRequest(), timeout=TIMEOUT_S)
    streaming = [item.symbol for item in status.symbols]
    if not any(ref.symbol == symbol and server in ("", ref.server) for ref in streaming):
        stored = [item.symbol for item in await stored_symbols(channel)]
        if not any(ref.symbol == symbol and server in ("", ref.server) for ref in stored):
            fail(unknown(symbol, server, [*streaming, *stored]))


def unknown(symbol: str, server: str, known: Sequence[tick_pb2.SymbolRef]) -> str:
    """The sentence for a symbol that nobody has, with names near it."""
    names = sorted({ref.symbol for ref in known})
    if symbol in names:
        servers = ", ".join(sorted(ref.server for ref in known if ref.symbol == symbol))
        return f"server {server!r} has no {symbol}; {servers} has it"
    if not names:
        return f"no tick of {symbol!r} is stored, nor of any other symbol yet"
    if near := near_names(symbol, names):
        return f"there is no symbol {symbol!r}; did you mean {' or '.join(near)}?"
    shown = ", ".join(names[:10]) + (", …" if len(names) > 10 else "")
    return f"there is no symbol {symbol!r}; there are {shown}"


def _several(symbol: str, servers: Sequence[str]) -> str:
    return f"several servers have {symbol}: say which with --server; there are {', '.join(sorted(set(servers)))}"


def near_names(symbol: str, names: Sequence[str]) -> list[str]:
    """At most three, the nearest first; only those that differ in nothing but case, where there are such."""
    by_upper: dict[str, list[str]] = {}
    for name in names:
        by_upper.setdefault(name.upper(), []).append(name)
    if same := by_upper.get(symbol.upper()):
        return same[:3]
    near = difflib.get_close_matches(symbol.upper(), by_upper, n=3, cutoff=0.6)
    return [name for upper in near for name in by_upper[upper]][:3]
