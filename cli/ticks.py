"""`suho ticks`: live ticks, the newest, and exact counts of the stored ones."""

from collections.abc import AsyncIterator
from typing import Annotated, Any

import grpc
import typer
from suho.database.v1 import tick_service_pb2, tick_service_pb2_grpc
from suho.market.v1 import bridge_pb2, bridge_pb2_grpc, tick_pb2

from cli import tick_audit, tick_bars, tick_doctor, tick_export, tick_import
from cli.connection import DEFAULT_STATE, TIMEOUT_S, JsonOption, StateOption, mesh, run
from cli.moments import FromOption
from cli.output import fail, print_json, print_table, server_time, to_dict
from cli.symbols import ServerOption, SymbolArgument, find, find_one, require_known
from cli.tick_columns import digits_of, get_recent, line, rows, subscribe
from mesh.market import codec

app = typer.Typer(no_args_is_help=True, help="Live and stored ticks.")

_COUNTS = ("stored", "distinct", "raw", "quarantined", "conflicting", "bid_points_sum", "ask_points_sum")


@app.command()
def tail(
    symbol: SymbolArgument,
    state: StateOption = DEFAULT_STATE,
    as_json: JsonOption = False,
    limit: Annotated[int, typer.Option("--limit", "-n", min=0, help="End after so many ticks; 0: never.")] = 0,
    from_msc: FromOption = None,
    server: ServerOption = "",
) -> None:
    """Ticks as they come in, until Ctrl-C; with --from, those since then first."""

    async def follow() -> None:
        async with mesh(state) as channel:
            await require_known(channel, symbol, server)
            ref = tick_pb2.SymbolRef(server=server, symbol=symbol)
            ticks = _live(channel, ref, limit) if from_msc is None else _since(channel, ref, from_msc)
            told = digits = 0
            async for tick in ticks:
                if as_json:
                    print_json(tick)
                else:
                    digits = max(digits, digits_of([tick]))
                    print(line(tick, digits), flush=True)
                told += 1
                if told == limit:
                    return

    run(follow)


async def _live(channel: grpc.aio.Channel, symbol: tick_pb2.SymbolRef, limit: int) -> AsyncIterator[dict[str, Any]]:
    request = bridge_pb2.TailTicksRequest(symbols=[symbol], limit=limit)
    # No deadline: it is followed until the person ends it.
    async for response in bridge_pb2_grpc.BridgeServiceStub(channel).TailTicks(request):
        yield to_dict(response.tick)


async def _since(channel: grpc.aio.Channel, symbol: tick_pb2.SymbolRef, from_msc: int) -> AsyncIterator[dict[str, Any]]:
    symbols = [symbol] if symbol.server else [item.symbol for item in await find(channel, symbol.symbol)]
    request = bridge_pb2.SubscribeRequest(symbols=symbols, from_msc=max(from_msc, 1))  # 0 would be from now
    async for response in subscribe(channel, request):
        for message in response.batches:
            for tick in rows(codec.decode(message)):
                yield tick


@app.command()
def recent(
    symbol: SymbolArgument,
    count: Annotated[int, typer.Option("-n", min=1, max=1000, help="How many.")] = 10,
    server: ServerOption = "",
    state: StateOption = DEFAULT_STATE,
    as_json: JsonOption = False,
) -> None:
    """The newest ticks of a symbol, oldest first, from the cache."""

    async def ask() -> list[dict[str, Any]]:
        async with mesh(state) as channel:
            ref = (await find_one(channel, symbol, server)).symbol
            request = tick_service_pb2.GetRecentTicksRequest(symbol=ref, count=count)
            batch = (await get_recent(channel, request, TIMEOUT_S)).batch
            return list(rows(codec.decode(batch))) if batch.count else []

    ticks = run(ask)
    if as_json:
        print_json({"ticks": ticks})
        return
    digits = digits_of(ticks)
    table = [
        (
            server_time(tick["id"]["time_msc"]),
            tick["id"]["ordinal"],
            *(f"{tick[name]:.{digits}f}" for name in ("bid", "ask", "last")),
            tick["volume"],
        )
        for tick in ticks
    ]
    print_table(("TIME", "#", "BID", "ASK", "LAST", "VOLUME"), table, f"the cache holds no tick of {symbol} yet")


@app.command()
def stats(symbol: SymbolArgument, state: StateOption = DEFAULT_STATE, as_json: JsonOption = False) -> None:
    """Exact counts of a symbol's stored ticks, for each server that has it."""

    async def ask() -> tick_service_pb2.GetTickStatsResponse:
        async with mesh(state) as channel:
            stub = tick_service_pb2_grpc.TickServiceStub(channel)
            answer = await stub.GetTickStats(tick_service_pb2.GetTickStatsRequest(symbol=symbol), timeout=TIMEOUT_S)
            if not answer.stats:
                await find(channel, symbol)
            return answer

    answer = run(ask)
    if not answer.stats:
        fail(f"no tick of {symbol!r} is stored")
    if as_json:
        print_json({"stats": [_numbers(item) for item in answer.stats]})
        return
    table = [
        (item.symbol.server, item.symbol.symbol, *(getattr(item, name) for name in _COUNTS)) for item in answer.stats
    ]
    print_table(("SERVER", "SYMBOL", *(name.upper() for name in _COUNTS)), table, "")


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


app.command()(tick_bars.bars)
app.command("export")(tick_export.export)
app.command("import")(tick_import.import_)
app.command()(tick_audit.audit)
app.command()(tick_audit.quality)
app.command()(tick_doctor.doctor)
