"""`suho ticks`: live ticks, and exact counts of the stored ones."""

from typing import Annotated, Any

import typer
from suho.database.v1 import tick_service_pb2, tick_service_pb2_grpc
from suho.market.v1 import bridge_pb2, bridge_pb2_grpc, tick_pb2

from cli.connection import DEFAULT_STATE, TIMEOUT_S, JsonOption, StateOption, mesh, run
from cli.output import fail, print_json, print_table, to_dict, utc

app = typer.Typer(no_args_is_help=True, help="Live and stored ticks.")

SymbolArgument = Annotated[str, typer.Argument(help="As the terminal names it, e.g. EURUSD.")]
_COUNTS = ("stored", "distinct", "raw", "quarantined", "conflicting", "bid_points_sum", "ask_points_sum")


@app.command()
def tail(
    symbol: SymbolArgument,
    state: StateOption = DEFAULT_STATE,
    as_json: JsonOption = False,
    limit: Annotated[int, typer.Option("--limit", "-n", min=0, help="End after so many ticks; 0: never.")] = 0,
) -> None:
    """Ticks as they come in, until Ctrl-C."""

    async def follow() -> None:
        request = bridge_pb2.TailTicksRequest(symbols=[tick_pb2.SymbolRef(symbol=symbol)], limit=limit)
        async with mesh(state) as channel:
            # No deadline: it is followed until the person ends it.
            async for response in bridge_pb2_grpc.BridgeServiceStub(channel).TailTicks(request):
                _print_tick(response.tick, as_json)

    run(follow)


def _print_tick(tick: tick_pb2.Tick, as_json: bool) -> None:
    if as_json:
        print_json(to_dict(tick))
    else:
        place = f" #{tick.id.ordinal}" if tick.id.ordinal else ""  # among those of the same millisecond
        print(f"{tick.symbol} {utc(tick.id.time_msc)}{place} bid {tick.bid} ask {tick.ask}", flush=True)


@app.command()
def stats(symbol: SymbolArgument, state: StateOption = DEFAULT_STATE, as_json: JsonOption = False) -> None:
    """Exact counts of a symbol's stored ticks, for each server that has it."""

    async def ask() -> tick_service_pb2.GetTickStatsResponse:
        async with mesh(state) as channel:
            stub = tick_service_pb2_grpc.TickServiceStub(channel)
            return await stub.GetTickStats(tick_service_pb2.GetTickStatsRequest(symbol=symbol), timeout=TIMEOUT_S)

    answer = run(ask)
    if not answer.stats:
        fail(f"no tick of {symbol!r} is stored")
    if as_json:
        print_json({"stats": [_numbers(item) for item in answer.stats]})
        return
    rows = [
        (item.symbol.server, item.symbol.symbol, *(getattr(item, name) for name in _COUNTS)) for item in answer.stats
    ]
    print_table(("SERVER", "SYMBOL", *(name.upper() for name in _COUNTS)), rows, "")


def _numbers(stats: tick_service_pb2.TickStats) -> dict[str, Any]:
    """JSON numbers where protobuf's own JSON has strings for 64 bits."""
    counts = {name: getattr(stats, name) for name in (*_COUNTS, "digits")}
    return {
        "server": stats.symbol.server,
        "symbol": stats.symbol.symbol,
        **counts,
        "first": {"time_msc": stats.first.time_msc, "ordinal": stats.first.ordinal},
        "last": {"time_msc": stats.last.time_msc, "ordinal": stats.last.ordinal},
    }
