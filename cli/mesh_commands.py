"""`suho status`, `bootstrap`, `logs`: the mesh as a whole."""

import asyncio
import time
from collections.abc import Awaitable, Iterator
from pathlib import Path
from typing import Annotated, Any, TypeVar

import grpc
import typer
from suho.database.v1 import tick_service_pb2, tick_service_pb2_grpc
from suho.market.v1 import bridge_pb2, bridge_pb2_grpc
from suho.trading.v1 import trading_pb2, trading_pb2_grpc

from cli.connection import DEFAULT_STATE, TIMEOUT_S, JsonOption, StateOption, hub, mesh, read_mesh, run
from cli.instances import list_instances, print_instances
from cli.order_words import barred, state_name
from cli.output import EXIT_UNREACHABLE, fail, print_json, to_dict
from mesh.channel import bootstrap as bootstrap_of
from mesh.errors import MeshError

T = TypeVar("T")


def status(state: StateOption = DEFAULT_STATE, as_json: JsonOption = False) -> None:
    """How the platform stands: instances, lanes, the log and its sink, orders."""
    facts = run(lambda: _status(state))
    if as_json:
        print_json(facts)
    else:
        _print_status(facts)
    if facts["away"]:
        fail(f"not known: {', '.join(facts['away'])}; `suho services` and `suho logs NAME` tell more", EXIT_UNREACHABLE)


def _print_status(facts: dict[str, Any]) -> None:
    print_instances(facts["instances"])
    print()
    if sink := facts["sink"]:
        print(
            f"sink: stored up to {sink['stored_seq']} of {sink['log_last_seq']} messages; "
            f"read to stored p50 {sink['tick_stored_p50_ms']:.1f} ms, p99 {sink['tick_stored_p99_ms']:.1f} ms"
        )
    if facts["bridge"] or facts["accounts"] is not None:
        print(f"lanes: {', '.join(f'{agent}/{lane}' for agent, lane in _lanes(facts)) or 'none'}")
    if facts["orders"] is not None:
        print(f"orders: {', '.join(f'{n} {name}' for name, n in facts['orders'].items()) or 'none'}")
    for account in facts["barred"]:
        print(f"! {account}")
    for name, why in facts["away"].items():
        print(f"{name}: not known: {why}")


def _lanes(facts: dict[str, Any]) -> list[tuple[str, int]]:
    """Lane 0 is the trading engine's, the others are the bridge's; of those that answered."""
    signals = {(account["agent"], 0) for account in facts["accounts"] or () if account["agent"]}
    lanes = facts["bridge"]["lanes"] if facts["bridge"] else ()
    return sorted(signals | {(lane["agent"], lane["lane"]) for lane in lanes})


async def _status(state: Path) -> dict[str, Any]:
    """None of who does not answer; `away` tells why."""
    async with hub(state) as channel:
        instances = await list_instances(channel)
    away: dict[str, str] = {}

    async def answer(name: str, call: Awaitable[T]) -> T | None:
        try:
            return await call
        except grpc.aio.AioRpcError as error:
            away[name] = MeshError.of(error).message
            return None

    async with mesh(state) as channel:
        bridges = bridge_pb2_grpc.BridgeServiceStub(channel)
        ticks = tick_service_pb2_grpc.TickServiceStub(channel)
        engine = trading_pb2_grpc.TradingServiceStub(channel)
        bridge, sink, trading, accounts = await asyncio.gather(
            answer("bridge", bridges.GetBridgeStatus(bridge_pb2.GetBridgeStatusRequest(), timeout=TIMEOUT_S)),
            answer("sink", ticks.GetSinkStatus(tick_service_pb2.GetSinkStatusRequest(), timeout=TIMEOUT_S)),
            answer("orders", engine.GetTradingStats(trading_pb2.GetTradingStatsRequest(), timeout=TIMEOUT_S)),
            answer("accounts", engine.ListAccounts(trading_pb2.ListAccountsRequest(), timeout=TIMEOUT_S)),
        )
    return {
        "instances": [to_dict(instance) for instance in instances.instances],
        "bridge": None if bridge is None else to_dict(bridge),
        "sink": None if sink is None else to_dict(sink),
        "accounts": None if accounts is None else [to_dict(account) for account in accounts.accounts],
        "barred": [why for account in accounts.accounts if (why := barred(account))] if accounts else [],
        "orders": None if trading is None else {state_name(item.state): item.count for item in trading.orders},
        "away": away,
    }


def bootstrap(
    state: StateOption = DEFAULT_STATE,
    node: Annotated[str, typer.Option(help="Name of the client, as the hub will show it.")] = "stock-client",
    depends_on: Annotated[list[str] | None, typer.Option(help="Service it will call; repeatable; none: all.")] = None,
    zone: Annotated[str, typer.Option(help="Where it runs: instances of the same zone are preferred.")] = "",
    separate: Annotated[
        bool, typer.Option("--separate", help="An entry for each hub: Go's client takes one address in a URI.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="It is JSON in any case.")] = True,
) -> None:
    """The JSON that lets any stock gRPC client use `xds:///mesh` (GRPC_XDS_BOOTSTRAP_CONFIG); it names every hub."""
    print_json(bootstrap_of(read_mesh(state)["hubs"], node, node, depends_on or (), zone, separate=separate))


def logs(
    name: Annotated[
        str,
        typer.Argument(help="Program, or its instance: hub, database, data-bridge, trading-engine, twin, pc-agent, …"),
    ],
    state: StateOption = DEFAULT_STATE,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many of the last lines.")] = 50,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as lines are written.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Each line as a JSON string.")] = False,
) -> None:
    """The log of one program."""
    folder = state / "logs"
    path = folder / f"{name}.log"
    if not path.is_file():  # the first of a kind runs as the kind: hub-1 is `hub`
        path = folder / f"{name.removesuffix('-1')}.log"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in folder.glob("*.log"))) or "none: nothing has run here"
        fail(f"no log of {name!r} under {folder}; there are: {known}")
    say = print_json if as_json else print
    for line in _tail(path, lines):
        say(line)
    if follow:
        try:
            for line in _new_lines(path):
                say(line)
        except KeyboardInterrupt:
            raise typer.Exit(130) from None


def _tail(path: Path, count: int) -> list[str]:
    kept = path.read_text("utf-8", errors="replace").splitlines()
    return kept[max(0, len(kept) - count) :]


def _new_lines(path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8", errors="replace") as stream:
        stream.seek(0, 2)
        while True:
            if line := stream.readline():
                yield line.rstrip("\n")
            elif stream.tell() > path.stat().st_size:  # it became too long and began anew
                stream.seek(0)
            else:
                time.sleep(0.2)
