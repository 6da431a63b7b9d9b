"""`suho bench signals`: from the commit of a signal to the terminal, idle, beside ticks, and behind them."""

import os
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc

from bench.platform import replay_of, running
from bench.race import NoShowError
from bench.report import Figure, Report
from bench.signals.bare_call import BareCall, open_bare_call
from bench.signals.flow import Flow
from bench.signals.front import open_front
from bench.signals.rig import Market, joined
from bench.signals.shots import BATCH, Shooter, Spread, parts, per_s, to_the_terminal
from bench.source import generated
from mesh.channel import mesh_channel
from mesh.config import MeshSettings

TICKS_PER_S = 50_000
_WARM_UP = 20
_SYMBOL = "EURUSD"
# Of a market that must last until every signal is through.
_START_S, _SIGNAL_S = 30.0, 0.12
_BARE_CALLS = 60
# With less than this share of the ticks it is another benchmark.
_LEAST_FLOW = 0.7


async def run(signals: int, report: Report) -> dict[str, Any]:
    """Measure with so many signals each; the object that stands last.

    Raises:
        NoShowError: the platform or an agent did not do what it should.
    """
    with tempfile.TemporaryDirectory(prefix="suho-bench-") as folder:
        async with running() as mesh, _channel(mesh) as channel, open_bare_call() as bare:
            rigs = _Rigs(mesh, channel, bare, Path(folder), signals, report)
            report.say(f"the platform runs; {signals} signals in each of four situations")
            idle = await rigs.idle()
            load = await rigs.loaded("load", "beside 50,000 ticks/s", seed=21)
            ports = mesh["ports"]
            async with open_front(*(f"127.0.0.1:{ports[name]}" for name in ("data-bridge", "trading-engine"))) as front:
                own = await rigs.loaded("own_lane", "the same through one listener", 22, "--front", front)
                shared = await rigs.loaded(
                    "shared_lane", "signals share a tick lane's connection", 23, "--front", front, "--shared"
                )
        fsync = _fsync(Path(folder), report)
    return {
        "signals": signals,
        "ticks_per_s": TICKS_PER_S,
        **_named("idle", idle),
        **_named("load", load),
        **_named("own_lane", own),
        **_named("shared_lane", shared),
        **rigs.extra,
        **_named("fsync", fsync),
    }


class _Rigs:
    """A terminal, an agent and an account of its own for each thing measured."""

    def __init__(
        self,
        mesh: dict[str, Any],
        channel: grpc.aio.Channel,
        bare: BareCall,
        folder: Path,
        signals: int,
        report: Report,
    ) -> None:
        self._mesh = mesh
        self._channel = channel
        self._bare = bare
        self._folder = folder
        self._signals = signals
        self._report = report
        self.extra: dict[str, Any] = {}

    async def idle(self) -> Spread:
        async with joined(Market(seed=11), self._mesh, self._channel, self._folder / "idle") as account:
            shooter = Shooter(self._channel, account, _SYMBOL)
            spread = await self._measure("idle", "idle", shooter)
            many = await shooter.at_once()
            batch, rate = to_the_terminal(many), per_s(many)
            self._tell("batch", f"{BATCH} at once", batch)
            self._report.add(
                Figure("batch_signals_per_s", f"{BATCH} at once, asked for to recorded", rate, "signals/s")
            )
            self.extra |= {**_named("batch", batch), "batch_signals_per_s": round(rate, 1)}
        return spread

    async def loaded(self, name: str, what: str, seed: int, *lanes: str) -> Spread:
        lasts_s = _START_S + _SIGNAL_S * (self._signals + _WARM_UP)
        source = generated(int(TICKS_PER_S * lasts_s), seed=seed)
        span_s = max(int(one.time_msc[-1] - one.time_msc[0]) for one in source.symbols) / 1000
        with replay_of(source) as words:
            feeds = tuple(word for word in words if word != "--feed")
            market = Market(seed, feeds, f"{TICKS_PER_S * span_s / source.ticks:.3f}")
            async with joined(market, self._mesh, self._channel, self._folder / name, lanes) as account:
                flow = Flow(self._channel, account.server)
                await flow.begin()
                spread = await self._measure(name, what, Shooter(self._channel, account, _SYMBOL))
                self._flowed(name, await flow.ticks_per_s())
                return spread

    def _flowed(self, name: str, ticks_per_s: float) -> None:
        """Raises NoShowError: it was not under load."""
        if ticks_per_s < _LEAST_FLOW * TICKS_PER_S:
            raise NoShowError(
                f"only {ticks_per_s:,.0f} ticks/s flowed while signals were measured, not {TICKS_PER_S:,}: the market "
                f"ended, or this machine is too busy; repeat it, with fewer --signals"
            )
        self._report.add(Figure(f"{name}_ticks_per_s", "  ticks meanwhile", ticks_per_s, "ticks/s"))
        self.extra[f"{name}_ticks_per_s"] = round(ticks_per_s)

    async def _measure(self, name: str, what: str, shooter: Shooter) -> Spread:
        await shooter.one_by_one(_WARM_UP)
        orders = await shooter.one_by_one(self._signals)
        spread = to_the_terminal(orders)
        self._tell(name, f"committed to order_send called, {what}", spread)
        for part, of in parts(orders).items():
            self._report.add(Figure(f"{name}: {part}", f"  {part}", of.p50, "ms", f"p99 {of.p99:.2f} ms"))
        self.extra[f"{name}_parts_p50_ms"] = {part: round(of.p50, 3) for part, of in parts(orders).items()}
        bare = await self._bare.spread(_BARE_CALLS)
        self._tell(f"{name}_bare_call", "  the limit: one bare gRPC call meanwhile", bare)
        self.extra |= _named(f"{name}_bare_call", bare)
        return spread

    def _tell(self, name: str, what: str, spread: Spread) -> None:
        self._report.add(Figure(f"{name}_p50_ms", what, spread.p50, "ms", f"p99 {spread.p99:.2f} ms"))


def _fsync(folder: Path, report: Report) -> Spread:
    """What this disk takes for a commit of one page: two of these are on a signal's way."""
    took = []
    with (folder / "fsync").open("wb", buffering=0) as file:
        for _ in range(200):
            began = time.perf_counter()
            file.write(b"\0" * 4096)
            os.fsync(file.fileno())
            took.append((time.perf_counter() - began) * 1000)
    spread = Spread.of(took)
    what = "fsync of a page; the way has two, PostgreSQL's and the ledger's"
    report.add(Figure("fsync_p50_ms", what, spread.p50, "ms", f"p99 {spread.p99:.2f} ms"))
    return spread


def _named(name: str, spread: Spread) -> dict[str, float]:
    return {f"{name}_p50_ms": round(spread.p50, 3), f"{name}_p99_ms": round(spread.p99, 3)}


@asynccontextmanager
async def _channel(mesh: dict[str, Any]) -> AsyncIterator[grpc.aio.Channel]:
    settings = MeshSettings(instance="suho-bench", hubs=tuple(mesh["hubs"]))
    async with mesh_channel(settings, "suho-bench", ("trading-engine", "data-bridge")) as channel:
        yield channel
