"""A storm over the order path: `python -m tests.chaos.signals --signals 100000 --seed 1`.

The twin requotes, rejects, goes silent after it executed, and hangs; at every crash point whoever passes it first
dies by SIGKILL; then programs and engines are killed, paused and cut off at random. Then there is quiet, and every
order must be what the terminal's books say. Run it under `unshare --map-root-user --net` for the cuts.
Each fault is a line on standard error; the last line of standard output is one JSON object.
"""

import argparse
import asyncio
import collections
import json
import math
import random
import re
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import grpc
from suho.common.v1 import account_pb2
from suho.database.v1 import order_service_pb2, order_service_pb2_grpc
from suho.trading.v1 import order_pb2, trading_pb2_grpc

from bench.signals.rig import Market, configs, until_joined
from cli.connection import mesh
from mesh.config import env_prefix
from pc_agent.twin import control
from tests.chaos.signal_audit import FINAL, violations
from tests.chaos.signal_source import SignalSource
from tests.chaos.storm_process import end_in_order
from tests.chaos.telling import say, told
from tests.support import eventually
from tests.support.faults import Faults, prepare_network, schedule
from tests.support.kept import Kept, keeping
from tests.support.platform import run_platform

_ROOT = Path(__file__).resolve().parents[2]
# Where an order passes; each has its crash points.
_ROOMS = ("pc_agent/orders", "pc_agent/terminal", "services/trading_engine", "services/database/postgres")
_PLACE = re.compile(r'\bfailpoint\("([^"]+)"\)')
PLACES = sorted(
    {"order_send.inside"}
    | {
        place
        for room in _ROOMS
        for path in (_ROOT / room).rglob("*.py")
        for place in _PLACE.findall(path.read_text("utf-8"))
    }
)
# What the broker does to trade requests, and how often. What leaves a doubt costs its symbol about three seconds.
_FAULTS = (
    *(("requote", 0.03), ("price-changed", 0.02), ("reject", 0.02), ("too-many-requests", 0.02), ("partial", 0.03)),
    *(("slip", 0.05), ("timeout", 0.01), ("none", 0.01), ("executed-timeout", 0.02), ("executed-none", 0.02)),
    *(("executed-error", 0.01), ("executed-receive-failed", 0.01), ("executed-cut", 0.01), ("executed-hang", 0.005)),
    *(("hang", 0.005), ("cut", 0.01)),
)
# The agents leave the processor to the signals: who waits for ticks looks seldom.
_IDLE_MS = "50"
_AT_ONCE = 8
_PROGRAMS = ("pc-agent", "worker", "trading-engine", "database", "twin", "hub", "postgres", "nats")
_PORTS = ("trading-engine", "database", "postgres", "nats")
# How long it may take until nothing is open any more, and how much longer for each signal: all are compared.
_QUIET_S, _QUIET_EACH_S = 120.0, 0.002
_TELL_S = 30.0
# In a short storm all may end in doubt: then some more are sent, for trade goes on once it is over.
_SOME_FILLED = 6
# A minute in production: how long books must show nothing before an order counts as not executed.
_SETTLE_S = "2"


@dataclass(frozen=True)
class Storm:
    """What is asked for: it is over after so many signals, or minutes (0: however long they take). Programs die about
    every `every_s` seconds, crash points are passed for at most `crash_s`, and the broker's faults are so many times as
    often as they stand here."""

    signals: int
    minutes: float
    seed: int
    every_s: float
    crash_s: float
    broker: float
    partitions: bool

    @property
    def margin_mode(self) -> str:
        """One position a trade, or one a symbol: the seed says."""
        return "hedging" if self.seed % 2 else "netting"


async def run(storm: Storm, folder: Path) -> dict[str, Any]:
    """The account: what was done, and what is wrong (nothing, one hopes)."""
    async with AsyncExitStack() as stack:
        crashes = CrashPoints(folder / "passed")
        state = folder / "state"
        environment = crashes.environment | {f"{env_prefix('pc-agent')}IDLE_MS": _IDLE_MS}
        platform = await stack.enter_async_context(run_platform(state=state, environment=environment))
        await platform.ready(120)
        own = _own_programs(storm, folder, platform.mesh, environment)
        await stack.enter_async_context(keeping(own.twin, own.agent))
        channel = await stack.enter_async_context(mesh(platform.state))
        stub = trading_pb2_grpc.TradingServiceStub(channel)
        await until_joined(stub, own.market.account, ())
        source = SignalSource(stub, own.market.account, await own.symbols(), random.Random(storm.seed))
        began = time.monotonic()
        await source.run(lambda: all(crashes.passed().values()) or time.monotonic() - began > storm.crash_s, _AT_ONCE)
        say(f"crash points passed after {time.monotonic() - began:.0f} s")
        done = await _disturbed(source, storm, Faults(platform, {"pc-agent": own.agent_pid, "twin": own.twin_pid}))
        took_s = time.monotonic() - began
        say("quiet")
        await own.calm()
        wrong, states = await _settled(source, own, channel)
    return {
        "seed": storm.seed,
        "signals": len(source.sent),
        "on_their_way": source.on_their_way,
        "denied": source.denied,
        "refused": len(source.refused),
        "repeated": source.repeated,
        "took_s": round(took_s, 1),
        "states": states,
        "crash_points": crashes.passed(),
        "starts": {"pc-agent": own.agent.starts, "twin": own.twin.starts},
        "faults": done,
        "margin_mode": storm.margin_mode,
        "kinds": dict(source.kinds),
        "partitions": storm.partitions,
        "wrong": wrong,
    }


class CrashPoints:
    """Every place where an order passes kills whoever passes it, once."""

    def __init__(self, markers: Path) -> None:
        markers.mkdir()
        self._markers = {place: markers / place for place in PLACES}
        kills = ",".join(f"{place}=kill@{marker}" for place, marker in self._markers.items())
        self.environment = {"SUHO_FAILPOINTS": kills}

    def passed(self) -> dict[str, bool]:
        return {place: marker.exists() for place, marker in self._markers.items()}


@dataclass(frozen=True)
class Own:
    """A terminal and its agent, which are started again at once when they die: many crash points are theirs."""

    market: Market
    twin: Kept
    agent: Kept
    folder: Path

    def twin_pid(self) -> int | None:
        return self.twin.pid

    def agent_pid(self) -> int | None:
        return self.agent.pid

    async def symbols(self) -> list[str]:
        async def shown() -> list[str]:
            try:
                return sorted(await asyncio.to_thread(control.feed_status, self.folder))
            except control.TwinUnreachableError:
                return []

        return await eventually(shown, 30)

    async def calm(self) -> None:
        """Nothing goes wrong at the broker any more. The twin may have died with the storm's last fault."""

        async def calmed() -> bool:
            try:
                await asyncio.to_thread(control.clear_faults, self.folder)
            except control.TwinUnreachableError as error:
                raise AssertionError(str(error)) from error
            return True

        await eventually(calmed, 30)


def _own_programs(storm: Storm, folder: Path, facts: dict[str, Any], environment: Mapping[str, str]) -> Own:
    market = Market(seed=99, margin_mode=storm.margin_mode)
    twin, agent = configs(market, tuple(facts["hubs"]), folder / "own")
    chances = ",".join(f"{fault}={chance * storm.broker:g}" for fault, chance in _FAULTS)
    faults = {"SUHO_TWIN_FAULTS": chances, "SUHO_TWIN_FAULT_SEED": str(storm.seed)}
    return Own(
        market,
        Kept("pc_agent.twin", "--config", twin, log=folder / "twin.log", environment=faults),
        Kept(
            "pc_agent",
            *("--config", agent, "--reconcile-after-s", _SETTLE_S),
            log=folder / "agent.log",
            environment=environment,
        ),
        folder / "own" / "twin",
    )


async def _disturbed(source: SignalSource, storm: Storm, faults: Faults) -> list[dict[str, object]]:
    """Send everything while programs die; what was done to them."""
    seeded = schedule(storm.seed, storm.partitions, _PROGRAMS, _PORTS, storm.every_s)
    wanted = source.on_their_way + storm.signals
    over_s = time.monotonic() + (storm.minutes * 60 or math.inf)
    async with asyncio.TaskGroup() as tasks:
        dying = tasks.create_task(faults.run(map(told, seeded)))
        telling = tasks.create_task(_tell(source, wanted))
        await source.run(lambda: source.on_their_way >= wanted or time.monotonic() > over_s, _AT_ONCE)
        telling.cancel()
        faults.stop()
        await dying
    return faults.done


async def _tell(source: SignalSource, wanted: int) -> None:
    """How far it is, for ever."""
    while True:
        await asyncio.sleep(_TELL_S)
        say(f"{source.on_their_way:,} of {wanted:,} signals on their way, {len(source.sent):,} asked for")


async def _settled(source: SignalSource, own: Own, channel: grpc.aio.Channel) -> tuple[list[str], dict[str, int]]:
    """Once nothing is open any more and some are filled, or time is over: what is wrong, and how orders ended."""
    wrong: list[str] = []
    states: dict[str, int] = {}

    async def looks_right() -> bool:
        try:
            await source.cancel_working()
            orders = [order async for order in source.orders()]
            books = await asyncio.to_thread(control.all_books, own.folder)
            net = await net_volumes(channel, source.account)
        except (grpc.aio.AioRpcError, control.TwinUnreachableError) as error:  # somebody is on the way back yet
            raise AssertionError(f"nobody could look: {error}") from error
        states.clear()
        states.update(collections.Counter(order_pb2.OrderState.Name(order.state) for order in orders))
        wrong[:] = violations(orders, books.deals, books.positions, net)
        stored = {order.signal_id for order in orders}
        wrong.extend(f"{name} was refused and is stored" for name in source.refused if name in stored)
        missing = set(source.sent) - stored - set(source.refused)
        wrong.extend(f"{name} was answered and is not stored" for name in sorted(missing))
        if any(order.state not in FINAL for order in orders) or wrong:
            return False
        enough = states.get("ORDER_STATE_FILLED", 0) >= _SOME_FILLED
        if not enough:
            more = len(source.sent) + _AT_ONCE
            await source.run(lambda: len(source.sent) >= more, 1)
        return enough

    try:
        await eventually(looks_right, _QUIET_S + _QUIET_EACH_S * len(source.sent), 1.0)
    except AssertionError as error:
        say("not all is right in the end")
        if not wrong:  # not known to be right is wrong too
            wrong.append(str(error))
    return wrong, states


async def net_volumes(channel: grpc.aio.Channel, account: account_pb2.AccountRef) -> dict[str, Decimal]:
    """By symbol what the engine counts, everybody's together."""
    stub: order_service_pb2_grpc.OrderServiceAsyncStub = order_service_pb2_grpc.OrderServiceStub(channel)
    found = await stub.ListAccounts(order_service_pb2.ListAccountsRequest(account=account), timeout=10)
    net: dict[str, Decimal] = collections.defaultdict(Decimal)
    for exposure in found.accounts[0].exposures:
        net[exposure.symbol] += Decimal(exposure.net_volume)
    return net


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--signals", type=int, default=100_000)
    parser.add_argument("--minutes", type=float, default=0.0, help="over by then, however many are on their way")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--every-s", type=float, default=4.0, help="mean time between two faults")
    parser.add_argument("--crash-s", type=float, default=300.0, help="how long to wait for every crash point")
    parser.add_argument("--broker", type=float, default=1.0, help="how many times as often the broker's faults come")
    parser.add_argument("--partitions", action="store_true", help="this is a network namespace of its own")
    arguments = parser.parse_args()
    if arguments.partitions:
        prepare_network()
    end_in_order()
    with tempfile.TemporaryDirectory(prefix="suho-") as folder:
        account = asyncio.run(run(Storm(**vars(arguments)), Path(folder)))
    sys.stdout.write(json.dumps(account) + "\n")
    return 1 if account["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
