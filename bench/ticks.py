"""`suho bench ticks`: the tick path beside its peers and its limits."""

import asyncio
import itertools
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from bench import end_to_end, limits
from bench.race import NoShowError, Racer, race
from bench.report import Figure, Report
from bench.scaling import measure
from bench.source import Source, generated, real

# By module: one that is not installed can not take part, and says so.
_PEERS = ("zmq_each", "websockets_json", "grpc_each", "rpyc_each")
_GENERATED = 3_000_000
_WIRE_TICKS = 20_000_000
_SUBSCRIBER_TICKS_PER_S = 50_000
_AGENTS = (1, 10, 100)
_SYMBOLS_EACH = (10, 100)


@dataclass(frozen=True)
class Wanted:
    """What `suho bench ticks` was asked for; `parts` empty: everything."""

    data: Path | None = None
    parts: tuple[str, ...] = ()
    # Ticks that the replay has at most; 0: all.
    ticks: int = 0


PARTS = ("peers", "limits", "e2e", "power", "subscriber", "scaling")


async def run(wanted: Wanted, report: Report) -> dict[str, Any]:
    """Measure; the object that stands last.

    Raises:
        FileNotFoundError: `data` holds no recorded ticks.
    """
    source = _source(wanted)
    report.say(f"ticks: {source.origin}")
    parts = wanted.parts or PARTS
    last: dict[str, Any] = {"ticks": source.ticks}
    if "peers" in parts:
        last |= await _wire_and_peers(report)
    if "limits" in parts:
        last |= await _limits(source, report)
    if "e2e" in parts:
        last |= await _end_to_end(source, report, last.get("clickhouse_insert_rows_per_s", 0.0))
    if "power" in parts:
        last |= await _power(source, report)
    if "subscriber" in parts:
        last |= await _subscriber(report)
    if "scaling" in parts:
        last |= await _scaling(report)
    return last


def _source(wanted: Wanted) -> Source:
    if wanted.data is not None:
        return real(wanted.data)
    return generated(wanted.ticks or _GENERATED)


async def _wire_and_peers(report: Report) -> dict[str, Any]:
    report.say("agent to bridge, and how others bring ticks from one process to another")
    from bench.peers import suho_wire

    source = generated(_WIRE_TICKS)
    # In a thread: a racer has an event loop of its own.
    wire = await asyncio.to_thread(race, suho_wire.RACER, source)
    report.add(Figure("wire_ticks_per_s", suho_wire.RACER.what, wire, "ticks/s"))
    peers: dict[str, float] = {}
    for name in _PEERS:
        try:
            racer: Racer = import_module(f"bench.peers.{name}").RACER
            peers[racer.name] = round(await asyncio.to_thread(race, racer, source))
        except ModuleNotFoundError as missing:
            report.say(f"  {name} is left out: {missing.name} is not installed (suho[bench])")
        except NoShowError as error:
            report.say(f"  {error}")
        else:
            beside = f"Suho's wire is {wire / peers[racer.name]:,.0f} times as fast"
            report.add(Figure(f"peer_{racer.name}_ticks_per_s", racer.what, peers[racer.name], "ticks/s", beside))
    return {"wire_ticks_per_s": round(wire), "peers": peers}


async def _limits(source: Source, report: Report) -> dict[str, Any]:
    report.say("what the engines can do alone")
    insert = await limits.clickhouse_insert(source, source.ticks)
    log = await limits.jetstream(source, source.ticks)
    report.add(
        Figure("clickhouse_insert_rows_per_s", "ClickHouse's own Arrow insert, 100,000 a block", insert, "rows/s")
    )
    report.add(Figure("jetstream_ticks_per_s", "NATS JetStream, 2,000 ticks a message", log, "ticks/s"))
    return {"clickhouse_insert_rows_per_s": round(insert), "jetstream_ticks_per_s": round(log)}


async def _end_to_end(source: Source, report: Report, limit: float) -> dict[str, Any]:
    report.say("terminal to ClickHouse, everything on this machine")
    summary = await end_to_end.stored(source)
    rate = summary["ticks_per_s"]
    beside = f"ClickHouse's own insert is {limit / rate:.1f} times as fast" if limit and rate else ""
    report.add(Figure("e2e_ticks_per_s", "terminal to ClickHouse, durable and exact", rate, "ticks/s", beside))
    for program, peak in summary["memory_peak_mb"].items():
        report.add(Figure(f"memory_peak_{program}", f"most memory of {program}", peak, "MB"))
    return {"e2e_ticks_per_s": round(rate), "memory_peak_mb": summary["memory_peak_mb"]}


async def _power(source: Source, report: Report) -> dict[str, Any]:
    report.say("the same, so that it survives the loss of power")
    summary = await end_to_end.stored(source, "--durability", "power")
    rate = summary["ticks_per_s"]
    report.add(Figure("e2e_power_ticks_per_s", "terminal to ClickHouse, fsynced at every step", rate, "ticks/s"))
    stored_ms = summary["tick_stored_ms"]["p50"]
    return {"e2e_power_ticks_per_s": round(rate), "power_stored_p50_ms": stored_ms}


async def _subscriber(report: Report) -> dict[str, Any]:
    report.say(f"agent's reading to subscriber, at {_SUBSCRIBER_TICKS_PER_S:,} ticks/s")
    latency = await end_to_end.subscriber(_SUBSCRIBER_TICKS_PER_S)
    report.add(Figure("subscriber_ticks_per_s", "arrived", latency.ticks_per_s, "ticks/s"))
    report.add(Figure("subscriber_p50_ms", "read to subscriber, p50", latency.p50_ms, "ms"))
    report.add(Figure("subscriber_p99_ms", "read to subscriber, p99", latency.p99_ms, "ms"))
    return {"subscriber_p50_ms": round(latency.p50_ms, 3), "subscriber_p99_ms": round(latency.p99_ms, 3)}


async def _scaling(report: Report) -> dict[str, Any]:
    report.say("agents and symbols, 20 ticks a batch, 100 batches a message at most")
    points = []
    for agents, symbols in itertools.product(_AGENTS, _SYMBOLS_EACH):
        try:
            point = await measure(agents, symbols)
        except NoShowError as error:
            report.say(f"  {error}")
            continue
        beside = (
            f"{point.messages_per_s:,.0f} messages/s, bridge {point.cpu_us_per_batch:.0f} µs a batch,"
            f" {point.memory_mb:,.0f} MB"
        )
        what = f"{agents} agents × {symbols} symbols"
        report.add(Figure(f"scaling_{agents}x{symbols}", what, point.ticks_per_s, "ticks/s", beside))
        points.append({name: round(value, 1) for name, value in asdict(point).items()})
    return {"scaling": points}
