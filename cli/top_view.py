"""What `suho top` knows at a moment, and its tables."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from cli.instances import status_of, verdict_of
from cli.mesh_state import alarm_lines, runs, troubles
from cli.services import by_service
from mesh.clock import unix_ms

_BAD = frozenset({"DOWN", "EXPIRED"})


class Tone(StrEnum):
    """How much a row wants to be looked at."""

    WELL = "well"
    UNEASY = "uneasy"
    BAD = "bad"


@dataclass(frozen=True)
class Row:
    key: str
    cells: tuple[object, ...]
    tone: Tone = Tone.WELL


@dataclass(frozen=True)
class HubStanding:
    """One hub, as it answered; `state` and `clients` are None where it did not, or is too old to know."""

    address: str
    state: dict[str, Any] | None = None
    clients: list[dict[str, Any]] | None = None
    because: str = ""


@dataclass(frozen=True)
class View:
    """All of it; messages are dicts under the contract's names."""

    # Why nothing new is heard; empty: all is fresh.
    away: str = ""
    away_since_unix_ms: int = 0
    revision: int = 0
    instances: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    hubs: tuple[HubStanding, ...] = ()
    # Agents' lanes at bridges, with `bridge` and `ticks_per_s`.
    lanes: tuple[dict[str, Any], ...] = ()
    # As the engine knows them; lane 0 is of those with an agent.
    accounts: tuple[dict[str, Any], ...] = ()

    def services(self) -> list[dict[str, Any]]:
        return by_service(list(self.instances.values()))

    def clients(self) -> list[dict[str, Any]]:
        """Of all hubs, each with the hub that serves it."""
        return [
            {"hub": hub.state["hub_id"] if hub.state else hub.address, **client}
            for hub in self.hubs
            for client in hub.clients or ()
        ]

    def alarms(self) -> list[str]:
        """What people should see first; the worst first."""
        told = []
        if self.away:
            told.append(f"no hub answers for {(unix_ms() - self.away_since_unix_ms) / 1000:.0f} s: {self.away}")
        told += [line.removeprefix("ALARM ") for line in alarm_lines([{"state": hub.state} for hub in self.hubs])]
        told += [f"hub {hub.address} does not answer: {hub.because}" for hub in self.hubs if hub.because]
        return told

    def to_json(self) -> dict[str, Any]:
        return {
            "away": self.away,
            "revision": self.revision,
            "alarms": self.alarms(),
            "services": self.services(),
            "instances": list(self.instances.values()),
            "hubs": [{"address": hub.address, "state": hub.state, "because": hub.because} for hub in self.hubs],
            "clients": self.clients(),
            "lanes": list(self.lanes),
            "accounts": list(self.accounts),
        }


def lanes_of(
    status: dict[str, Any], before: Mapping[tuple[str, str, int], int], seconds: float
) -> tuple[list[dict[str, Any]], dict[tuple[str, str, int], int]]:
    """A bridge's lanes from its GetBridgeStatus, with the speed since `before`; and what to compare the next with."""
    published: dict[tuple[str, str, int], int] = {}
    trouble: dict[tuple[str, str, int], int] = {}
    for symbol in status["symbols"]:
        key = (status["bridge"], symbol["agent"], symbol["lane"])
        published[key] = published.get(key, 0) + symbol["published_ticks"]
        trouble[key] = trouble.get(key, 0) + symbol["missing_ticks"]
    lanes = []
    for lane in status["lanes"]:
        key = (status["bridge"], lane["agent"], lane["lane"])
        now, was = published.get(key, 0), before.get(key)
        speed = None if was is None or not seconds else round(max(now - was, 0) / seconds, 1)
        lanes.append({"bridge": status["bridge"], **lane, "ticks_per_s": speed, "missing_ticks": trouble.get(key, 0)})
    return lanes, published


def _services(view: View) -> Iterable[Row]:
    for one in view.services():
        away = one["down"] + one["expired"]
        tone = Tone.BAD if not one["up"] else Tone.WELL if one["up"] == one["instances"] else Tone.UNEASY
        yield Row(
            one["service"],
            (one["service"], one["up"], one["starting"], one["draining"] + one["out_of_service"], away,
             " ".join(one["dependencies"]) or "-"),
            tone,
        )  # fmt: skip


def _instances(view: View) -> Iterable[Row]:
    for one in sorted(view.instances.values(), key=lambda item: (item["service"], item["id"])):
        status, verdict = status_of(one), verdict_of(one)
        failed = one["health"]["last_error"] if one["health"] and verdict != "PASSING" else ""
        why = one["status_reason"] or failed
        cells = (one["id"], one["service"], status, verdict or "-", one["hub"] or "-", one["version"] or "-")
        yield Row(one["id"], (*cells, why or "-"), _tone(one, status, verdict))


def _tone(instance: dict[str, Any], status: str, verdict: str) -> Tone:
    if status in _BAD or instance["doubted"] or verdict in ("FAILING", "FLAPPING"):
        return Tone.BAD
    return Tone.WELL if status == "UP" else Tone.UNEASY


def _clients(view: View) -> Iterable[Row]:
    for one in sorted(view.clients(), key=lambda item: (item["node_id"], item["hub"], item["peer"])):
        wrong = [trouble for resource in one["resources"] for trouble in troubles(resource)]
        cells = (one["node_id"], one["cluster"] or "-", one["hub"], one["peer"], runs(one), "; ".join(wrong) or "-")
        yield Row(f"{one['hub']} {one['peer']} {one['node_id']}", cells, Tone.BAD if wrong else Tone.WELL)


def _lanes(view: View) -> Iterable[Row]:
    for account in view.accounts:
        name = f"{account['account']['login']}@{account['account']['server']}"
        trading = account["trading_state"].removeprefix("TRADING_STATE_")
        cells = (account["agent"] or "nobody", 0, name, f"{trading}, {account['open_orders']} open orders", "-")
        tone = Tone.WELL if account["agent"] and trading == "ACTIVE" else Tone.UNEASY
        yield Row(f"engine {name}", cells, tone)
    for lane in sorted(view.lanes, key=lambda item: (item["bridge"], item["agent"], item["lane"])):
        told = f"{lane['symbols']} symbols" + (
            f", {lane['missing_ticks']} ticks missing" if lane["missing_ticks"] else ""
        )
        key = f"{lane['bridge']} {lane['agent']} {lane['lane']}"
        speed = "-" if lane["ticks_per_s"] is None else lane["ticks_per_s"]
        tone = Tone.BAD if lane["missing_ticks"] else Tone.WELL
        yield Row(key, (lane["agent"], lane["lane"], lane["bridge"], told, speed), tone)


def _hubs(view: View) -> Iterable[Row]:
    for hub in view.hubs:
        if hub.state is None:
            yield Row(hub.address, ("-", hub.address, hub.because or "too old to say", *("-",) * 5), Tone.BAD)
            continue
        told = hub.state
        kept = f"{told['store']}, {'attached' if told['attached'] else 'DETACHED'}"
        counts = (told[name] for name in ("revision", "leases", "watchers", "discovery_streams"))
        protecting = bool(told["self_preservation"] and told["self_preservation"]["protecting"])
        doing = "self-preservation" if protecting else "-"
        tone = Tone.BAD if protecting or not told["attached"] else Tone.WELL
        yield Row(hub.address, (told["hub_id"], hub.address, kept, *counts, doing), tone)


@dataclass(frozen=True)
class Table:
    columns: tuple[str, ...]
    rows: Callable[[View], Iterable[Row]]
    # Said where there is no row.
    empty: str


TABLES: Mapping[str, Table] = MappingProxyType(
    {
        "services": Table(
            ("SERVICE", "UP", "STARTING", "DRAINING", "DOWN", "DEPENDS ON"), _services, "no service is registered"
        ),
        "instances": Table(
            ("INSTANCE", "SERVICE", "STATUS", "HEALTH", "HUB", "VERSION", "WHY"),
            _instances,
            "no instance is registered",
        ),
        "clients": Table(
            ("CLIENT", "CALLS ITSELF", "HUB", "FROM", "RUNS", "TROUBLE"), _clients, "no client has a discovery stream"
        ),
        "lanes": Table(("AGENT", "LANE", "AT", "CARRIES", "TICKS/S"), _lanes, "no agent has a lane"),
        "hubs": Table(
            ("HUB", "ADDRESS", "STORE", "REVISION", "LEASES", "WATCHERS", "CLIENTS", "DOES"),
            _hubs,
            "no hub has answered",
        ),
    }
)
