"""`suho bench hub`: the hub beside etcd, in the same run, with the same clients."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from bench.hub import etcd, load, picking, sessions, telling, watching
from bench.hub.servers import Server, Store
from bench.hub.servers import etcd as etcd_server
from bench.hub.servers import hub as hub_server
from bench.hub.spread import Spread
from bench.race import NoShowError
from bench.report import Figure, Report

Part = Callable[[Report], Awaitable[dict[str, Any]]]

# Where nothing is to run out while it is measured.
_LASTING: dict[str, Any] = {"lease_ttl_s": 600.0, "heartbeat_s": 200.0}
_GRACE_S, _SWEEP_S = 0.2, 1.0

_WATCHES = ((1, 200), (100, 60), (1_000, 15))
"""So many watchers, so many times."""
_REGISTERED = 3_000
_HEARTBEATS_S = 3.0
_MANY, _EVERY_S, _OBSERVED_S = 10_000, 5.0, 15.0
_CHURN = (10_000, 50_000, 100_000)
_STORES: tuple[Store, ...] = ("memory", "nats")


async def run(parts: Sequence[str], report: Report) -> dict[str, Any]:
    """Measure the named parts, none: the usual ones; the object that stands last.

    Raises:
        NoShowError: something could not be measured.
        CannotStartError: a server did not start.
    """
    last: dict[str, Any] = {}
    for name in parts or USUAL:
        last |= await PARTS[name](report)
    return last


async def _watch(report: Report) -> dict[str, Any]:
    report.say("from a registration to its being seen by who watches")
    last: dict[str, Any] = {}
    for watchers, times in _WATCHES:
        beside = ""
        async with _peer(report) as server:
            if server is not None:
                peer = await watching.measure(server, etcd.watch, watching.InEtcd(), watchers, times)
                _add(report, last, f"etcd_watch_{watchers}", f"etcd's put to {watchers:,} watchers", peer)
                beside = f"etcd {peer.p50_ms:.2f}, {peer.p99_ms:.2f}"
        for store in _STORES:
            name = f"watch_{watchers}" if store == "nats" else f"watch_memory_{watchers}"
            async with hub_server(store, **_LASTING) as server:
                found = await watching.measure(server, sessions.watch, watching.InHub(), watchers, times)
            _add(report, last, name, f"registration to {watchers:,} watchers, {_of(store)}", found, beside)
    return last | _also(last, "watch_100", "watch") | _also(last, "etcd_watch_100", "etcd_watch")


async def _gone(report: Report) -> dict[str, Any]:
    report.say("from an instance's going to the last stock gRPC client's last call of it")
    last: dict[str, Any] = {}
    for callers, times in ((1, 20), (100, 12)):
        async with hub_server(**_LASTING) as server:
            found = await picking.measure(server, callers, times)
        what = f"deregistered, {callers:,} clients, {picking.CALLS_PER_S} calls/s in all"
        _add(report, last, f"gone_{callers}", what, found)
    report.say("from an instance's going to 100 discovery clients' having been told")
    async with (
        hub_server(grace_s=_GRACE_S, **_LASTING) as server,
        telling.crowd(server, 100) as (own, clients),
    ):
        told = await telling.measure(own, clients, telling.drained, 20)
        _add(report, last, "gone_drained", "drained by a person", told.each)
        told = await telling.measure(own, clients, telling.broken, 12, _GRACE_S, _SWEEP_S)
        _add(report, last, "gone_broken", "its stream broke, after the grace", told.each)
    return last | _also(last, "gone_100", "gone")


async def _fanout(report: Report) -> dict[str, Any]:
    report.say("from an instance's going to all discovery clients' having been told")
    last: dict[str, Any] = {}
    for size, times, limit_ms in ((100, 20, 50), (1_000, 15, 200), (5_000, 10, 600)):
        async with (
            hub_server(**_LASTING) as server,
            telling.crowd(server, size) as (own, clients),
        ):
            cpu = server.cpu_s()
            told = await telling.measure(own, clients, telling.deregistered, times)
            cpu_us, rss = (server.cpu_s() - cpu) / told.tellings * 1e6, server.rss_mb()
        _add(report, last, f"fanout_{size}", f"{size:,} clients, the last of them", told.last, f"aim {limit_ms} ms")
        _add(report, last, f"told_{size}", f"{size:,} clients, each of them", told.each)
        report.add(Figure(f"fanout_{size}_rss_mb", f"the hub with {size:,} clients", rss, "MB"))
        report.add(Figure(f"fanout_{size}_cpu_us", "the hub's CPU for a client told", cpu_us, "µs"))
        last |= {f"fanout_{size}_rss_mb": round(rss, 1), f"fanout_{size}_cpu_us": round(cpu_us, 1)}
    return last | _also(last, "told_1000", "gone_1000")


async def _size(report: Report) -> dict[str, Any]:
    report.say(f"{_MANY:,} instances, a heartbeat every {_EVERY_S:g} s each")
    async with hub_server() as server:
        found = await load.size(server, _MANY, _EVERY_S, _OBSERVED_S)
    report.add(Figure("size_cpu_share", "the hub's CPU", found.cpu_share, "cores", "aim 1"))
    report.add(Figure("size_rss_mb", "the hub's memory", found.rss_mb, "MB", "aim 500"))
    report.add(Figure("size_registered_s", "registering all of them", found.registered_in_s, "s"))
    last: dict[str, Any] = {
        "size_instances": _MANY,
        "size_cpu_share": round(found.cpu_share, 3),
        "size_rss_mb": round(found.rss_mb, 1),
        "size_registered_s": round(found.registered_in_s, 2),
    }
    _add(report, last, "size_heartbeat", "heartbeat to its answer", found.heartbeat)
    return last


async def _rate(report: Report) -> dict[str, Any]:
    report.say(
        f"{_REGISTERED:,} registrations, {load.IN_FLIGHT} under way; then heartbeats as fast as they are answered"
    )
    last: dict[str, Any] = {}
    async with _peer(report) as server:
        if server is not None:
            peer = await load.rates(server, load.in_etcd, _REGISTERED, _HEARTBEATS_S)
            _add_rates(report, last, "etcd_{}_per_s", "etcd: lease, then put", peer)
    for store in _STORES:
        name = "{}_per_s" if store == "nats" else "{}_memory_per_s"
        async with hub_server(store, **_LASTING) as server:
            found = await load.rates(server, load.in_hub, _REGISTERED, _HEARTBEATS_S)
        _add_rates(report, last, name, f"sessions, {_of(store)}", found)
    async with hub_server(**_LASTING) as server:
        found = await load.rates(server, load.by_calls, _REGISTERED, _HEARTBEATS_S)
    _add_rates(report, last, "{}_unary_per_s", f"unary calls, {_of('nats')}", found)
    return last


async def _churn(report: Report) -> dict[str, Any]:
    report.say(f"{_CHURN[-1]:,} short sessions: register, deregister")
    last: dict[str, Any] = {}
    async with hub_server(**_LASTING) as server:
        async for sessions_so_far, rss, per_s in load.churn(server, _CHURN):
            what = f"the hub after {sessions_so_far:,} sessions"
            report.add(Figure(f"churn_{sessions_so_far}_rss_mb", what, rss, "MB", f"{per_s:,.0f} sessions/s"))
            last[f"churn_{sessions_so_far}_rss_mb"] = round(rss, 1)
            last["churn_sessions_per_s"] = round(per_s)
    return last


PARTS: dict[str, Part] = {
    "watch": _watch, "gone": _gone, "fanout": _fanout, "size": _size, "rate": _rate, "churn": _churn
}  # fmt: skip
USUAL = tuple(name for name in PARTS if name != "churn")
"""Without what takes minutes."""


@asynccontextmanager
async def _peer(report: Report) -> AsyncIterator[Server | None]:
    try:
        async with etcd_server() as server:
            yield server
    except NoShowError as error:
        report.say(f"  {error}")
        yield None


def _add(report: Report, last: dict[str, Any], name: str, what: str, found: Spread, beside: str = "") -> None:
    for share, value in (("p50", found.p50_ms), ("p99", found.p99_ms)):
        report.add(Figure(f"{name}_{share}_ms", f"{what}, {share}", value, "ms", beside))
        last[f"{name}_{share}_ms"] = round(value, 3)


def _add_rates(report: Report, last: dict[str, Any], name: str, what: str, found: load.Rates) -> None:
    """`name` holds `{}` for what is counted."""
    for counted, value in (("registrations", found.registrations_per_s), ("heartbeats", found.heartbeats_per_s)):
        peer, key = last.get(f"etcd_{counted}_per_s"), name.format(counted)
        beside = f"{value / peer:.2f} of etcd's" if peer else ""
        report.add(Figure(key, f"{what}, {counted}", value, "/s", beside))
        last[key] = round(value)


def _also(last: dict[str, Any], long: str, short: str) -> dict[str, Any]:
    """The figures of the size that is meant when none is said."""
    ends = ("_p50_ms", "_p99_ms")
    return {short + end: last[long + end] for end in ends if long + end in last}


def _of(store: Store) -> str:
    return "in memory" if store == "memory" else "in NATS KV"
