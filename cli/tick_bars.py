"""`suho ticks bars`: bars of stored ticks, and as they form."""

from typing import Annotated, Any

import grpc
import typer
from suho.database.v1 import tick_service_pb2, tick_service_pb2_grpc
from suho.market.v1 import bar_pb2, bridge_pb2, bridge_pb2_grpc

from cli.connection import DEFAULT_STATE, JsonOption, StateOption, mesh, run
from cli.moments import FromOption, ToOption, check_order
from cli.output import decimals, print_json, print_table, server_time, to_dict
from cli.symbols import ServerOption, SymbolArgument, find_one

_TIMEOUT_S = 120.0
_PRICES = ("open", "high", "low", "close")
_COLUMNS = (*_PRICES, "ticks", "volume", "spread_min", "spread_close")
_IN_PRICES = (*_PRICES, "spread_min", "spread_close")
_NAMES = [name.removeprefix("TIMEFRAME_") for name in bar_pb2.Timeframe.keys()[1:]]


def bars(
    symbol: SymbolArgument,
    timeframe: Annotated[str, typer.Option("--timeframe", "-t", help=f"{', '.join(_NAMES)}.")] = "",
    ticks: Annotated[int, typer.Option("--ticks", min=0, help="So many ticks a bar.")] = 0,
    volume: Annotated[float, typer.Option("--volume", min=0, help="So much volume a bar.")] = 0.0,
    price_range: Annotated[float, typer.Option("--range", min=0, help="A bar closes at this high - low.")] = 0.0,
    count: Annotated[int, typer.Option("-n", min=1, max=100_000, help="How many of the last bars.")] = 20,
    from_msc: FromOption = None,
    to_msc: ToOption = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with each bar that closes.")] = False,
    forming: Annotated[bool, typer.Option("--forming", help="With --follow: also each change of a bar.")] = False,
    server: ServerOption = "",
    state: StateOption = DEFAULT_STATE,
    as_json: JsonOption = False,
) -> None:
    """Bars of a symbol, M1 unless said otherwise; one of --timeframe, --ticks, --volume and --range."""
    spec = _spec(timeframe, ticks, volume, price_range)
    check_order(from_msc, to_msc)

    async def ask() -> None:
        async with mesh(state) as channel:
            ref = (await find_one(channel, symbol, server)).symbol
            request = tick_service_pb2.GetBarsRequest(
                symbol=ref, spec=spec, from_msc=from_msc or 0, to_msc=to_msc or 0, limit=-count
            )
            told = await _stored(channel, request)
            if not follow:
                _print(told, as_json, symbol)
                return
            # The last one comes again, until it is closed.
            _print_lines(told[:-1], as_json, _digits(told))
            live = bridge_pb2.StreamBarsRequest(
                symbols=[ref], spec=spec, closed_only=not forming, from_msc=told[-1]["open_msc"] if told else 0
            )
            await _follow(channel, live, as_json, _digits(told))

    run(ask)


def _spec(timeframe: str, ticks: int, volume: float, price_range: float) -> bar_pb2.BarSpec:
    given = [name for name, value in (("timeframe", timeframe), ("ticks", ticks), ("volume", volume),
                                      ("range", price_range)) if value]  # fmt: skip
    if len(given) > 1:
        raise typer.BadParameter(f"{' and '.join('--' + name for name in given)} are two kinds of bars; give one")
    if ticks:
        return bar_pb2.BarSpec(ticks=ticks)
    if volume:
        return bar_pb2.BarSpec(volume=volume)
    if price_range:
        return bar_pb2.BarSpec(range=price_range)
    name = (timeframe or "M1").upper()
    if name not in _NAMES:
        raise typer.BadParameter(f"{timeframe!r} is none of {', '.join(_NAMES)}", param_hint="--timeframe")
    return bar_pb2.BarSpec(timeframe=bar_pb2.Timeframe.Value(f"TIMEFRAME_{name}"))


async def _stored(channel: grpc.aio.Channel, request: tick_service_pb2.GetBarsRequest) -> list[dict[str, Any]]:
    stub = tick_service_pb2_grpc.TickServiceStub(channel)
    told: list[dict[str, Any]] = []
    async for response in stub.GetBars(request, timeout=_TIMEOUT_S):
        told += _bars(response.bars)
    return told


def _bars(message: bar_pb2.BarColumns) -> list[dict[str, Any]]:
    names = ("open_msc", "close_msc", *_COLUMNS)
    columns = [list(getattr(message, name)) or [0] * message.count for name in names]
    told = [{**dict(zip(names, values, strict=True)), "closed": True} for values in zip(*columns, strict=True)]
    if told:
        told[-1]["closed"] = message.last_closed
    return told


async def _follow(channel: grpc.aio.Channel, request: bridge_pb2.StreamBarsRequest, as_json: bool, digits: int) -> None:
    # No deadline: it is followed until the person ends it.
    async for response in bridge_pb2_grpc.BridgeServiceStub(channel).StreamBars(request):
        told = [{k: v for k, v in to_dict(bar).items() if k not in ("symbol", "spec")} for bar in response.bars]
        digits = max(digits, _digits(told))
        _print_lines(told, as_json, digits)


def _digits(told: list[dict[str, Any]]) -> int:
    return decimals(bar[name] for bar in told for name in _PRICES)


def _print(told: list[dict[str, Any]], as_json: bool, symbol: str) -> None:
    if as_json:
        print_json({"bars": told})
        return
    digits = _digits(told)
    table = [
        (
            server_time(bar["open_msc"]),
            *(f"{bar[name]:.{digits}f}" if name in _IN_PRICES else f"{bar[name]:.10g}" for name in _COLUMNS),
            "" if bar["closed"] else "forming",
        )
        for bar in told
    ]
    headings = ("OPENED", *(name.upper().replace("_", " ") for name in _COLUMNS), "")
    print_table(headings, table, f"no tick of {symbol} makes a bar in that time")


def _print_lines(told: list[dict[str, Any]], as_json: bool, digits: int) -> None:
    for bar in told:
        if as_json:
            print_json(bar)
        else:
            prices = " ".join(f"{name} {bar[name]:.{digits}f}" for name in _PRICES)
            forming = "" if bar["closed"] else " forming"
            print(f"{server_time(bar['open_msc'])} {prices} ticks {bar['ticks']}{forming}", flush=True)
