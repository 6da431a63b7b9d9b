"""`suho ticks audit` and `quality`: whether everything is there, and what is odd about it."""

from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any

import grpc
import typer
from suho.database.v1 import tick_service_pb2, tick_service_pb2_grpc
from suho.market.v1 import bridge_pb2, bridge_pb2_grpc, tick_pb2

from cli.connection import DEFAULT_STATE, TIMEOUT_S, JsonOption, StateOption, mesh, run
from cli.moments import DAY_MS, FromOption, ToOption, check_order, date_of, day_of
from cli.output import EXIT_REFUSED, fail, print_json, print_table, to_dict, utc
from cli.symbols import ServerOption, find, stored_symbols
from cli.tick_export import DIGEST_TIMEOUT_S

OptionalSymbol = Annotated[str, typer.Argument(metavar="SYMBOL", help="As the terminal names it; none: all.")]
_SETTLED = (bridge_pb2.AUDIT_STATE_MATCHES, bridge_pb2.AUDIT_STATE_HEALED, bridge_pb2.AUDIT_STATE_CORRECTED)
_MARKS = ("crossed", "zero_spread", "spikes", "out_of_session", "zero_price", "repeated_hour", "missing_hour")
_NO_MARKS = "no tick is stored in that time"


def audit(
    symbol: OptionalSymbol = "",
    from_msc: FromOption = None,
    to_msc: ToOption = None,
    heal: Annotated[bool, typer.Option("--heal", help="Add what is missing, correct what is different.")] = False,
    server: ServerOption = "",
    state: StateOption = DEFAULT_STATE,
    as_json: JsonOption = False,
) -> None:
    """Compare the terminal's history with the log and the store, day by day; all that is stored, or from and to."""

    async def ask() -> Counter[str]:
        async with mesh(state) as channel:
            bridge = bridge_pb2_grpc.BridgeServiceStub(channel)
            states: Counter[str] = Counter()
            for request in await _requests(channel, symbol, server, from_msc, to_msc):
                request.heal = heal
                # No deadline: years of ticks take their time, and each day says how far it is.
                async for day in bridge.AuditTicks(request):
                    states[_state(day)] += 1
                    _tell(day, as_json)
            return states

    states = run(ask)
    settled = {_name(value) for value in _SETTLED}
    left = sum(count for name, count in states.items() if name not in settled)
    if as_json:
        print_json({"days": states.total(), "left": left, **{name.lower(): count for name, count in states.items()}})
    else:
        counts = ", ".join(f"{count} {name}" for name, count in sorted(states.items()))
        print(f"{states.total()} days: {counts or 'none to compare'}")
        if left and not heal:
            print("`suho ticks audit --heal` adds what is missing and corrects what is different")
    if left:
        raise typer.Exit(EXIT_REFUSED)


async def _requests(
    channel: grpc.aio.Channel, symbol: str, server: str, from_msc: int | None, to_msc: int | None
) -> list[bridge_pb2.AuditTicksRequest]:
    """Where nothing else is said, of each symbol the days from its first stored tick to its last."""
    check_order(from_msc, to_msc)
    if from_msc is not None and to_msc is not None and (symbol or not server):  # the store may have lost all of it
        named = [tick_pb2.SymbolRef(server=server, symbol=symbol)] if symbol else []
        return [bridge_pb2.AuditTicksRequest(symbols=named, from_msc=from_msc, to_msc=to_msc)]
    stored = await find(channel, symbol, server) if symbol else await stored_symbols(channel)
    requests = [
        bridge_pb2.AuditTicksRequest(
            symbols=[item.symbol],
            from_msc=day_of(item.first_msc) if from_msc is None else from_msc,
            to_msc=day_of(item.last_msc) + DAY_MS if to_msc is None else to_msc,
        )
        for item in stored
        if server in ("", item.symbol.server)
    ]
    requests = [request for request in requests if request.from_msc < request.to_msc]
    if not requests:
        of_server = f"of server {server!r} " if server else ""
        in_time = "" if from_msc is None and to_msc is None else " in that time"
        fail(f"no tick {of_server}is stored{in_time}: there is nothing to audit")
    return requests


def _tell(day: bridge_pb2.AuditTicksResponse, as_json: bool) -> None:
    """Days without any tick are counted only."""
    if as_json:
        print_json(to_dict(day))
    elif day.terminal_ticks or day.log_ticks or day.stored_ticks or day.state != bridge_pb2.AUDIT_STATE_MATCHES:
        print(_line(day), flush=True)


def _state(day: bridge_pb2.AuditTicksResponse) -> str:
    return _name(day.state)


def _name(state: "bridge_pb2.AuditState.ValueType") -> str:
    return bridge_pb2.AuditState.Name(state).removeprefix("AUDIT_STATE_")


def _line(day: bridge_pb2.AuditTicksResponse) -> str:
    counts = f"terminal {day.terminal_ticks} log {day.log_ticks} stored {day.stored_ticks}"
    hours = f", {len(day.differing)} hours differ" if day.differing else ""
    healed = f", {day.healed_ticks} healed" if day.healed_ticks else ""
    generation = f", generation {day.generation}" if day.generation else ""
    detail = f": {day.detail}" if day.detail else ""
    name = f"{day.symbol.symbol}@{day.symbol.server}"
    return f"{date_of(day.from_msc)} {name} {_state(day)} {counts}{hours}{healed}{generation}{detail}"


def quality(
    symbol: OptionalSymbol = "",
    from_msc: FromOption = None,
    to_msc: ToOption = None,
    server: ServerOption = "",
    count: Annotated[int, typer.Option("-n", min=1, max=1000, help="How many incidents.")] = 10,
    state: StateOption = DEFAULT_STATE,
    as_json: JsonOption = False,
) -> None:
    """What is odd about stored ticks, and the newest incidents; nothing is ever dropped for it."""
    check_order(from_msc, to_msc)

    async def ask() -> dict[str, Any]:
        async with mesh(state) as channel:
            if symbol:
                await find(channel, symbol, server)
            stub = tick_service_pb2_grpc.TickServiceStub(channel)
            marks = tick_service_pb2.GetTickQualityRequest(
                server=server, symbol=symbol, from_msc=from_msc or 0, to_msc=to_msc or 0
            )
            incidents = tick_service_pb2.ListTickIncidentsRequest(server=server, symbol=symbol, limit=count)
            return {
                **to_dict(await stub.GetTickQuality(marks, timeout=DIGEST_TIMEOUT_S)),
                **to_dict(await stub.ListTickIncidents(incidents, timeout=TIMEOUT_S)),
            }

    facts = run(ask)
    if as_json:
        print_json(facts)
        return
    rows = [
        (*_names(item), item["ticks"], *(item[mark] for mark in _MARKS), item["quarantined"])
        for item in facts["symbols"]
    ]
    headings = (name.upper().replace("_", " ") for name in ("ticks", *_MARKS, "quarantined"))
    print_table(("SERVER", "SYMBOL", *headings), rows, _NO_MARKS)
    print()
    print_incidents(facts["incidents"])


def print_incidents(incidents: Sequence[dict[str, Any]]) -> None:
    """Incidents as `to_dict` gives them, newest first."""
    rows = [
        (utc(item["at_unix_ms"]), item["kind"], *_names(item), item["ticks"] or "", item["detail"])
        for item in incidents
    ]
    print_table(("NOTICED", "INCIDENT", "SERVER", "SYMBOL", "TICKS", "DETAIL"), rows, "no incident")


def _names(item: dict[str, Any]) -> tuple[str, str]:
    symbol = item["symbol"] or {"server": "", "symbol": ""}
    return symbol["server"], symbol["symbol"]
