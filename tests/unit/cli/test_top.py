"""`suho top` shows the mesh as it lives, and says what is wrong with it."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from suho.hub.v1 import registry_pb2 as pb
from suho.hub.v1 import traffic_pb2
from suho.market.v1 import bridge_pb2, tick_pb2
from suho.trading.v1 import trading_pb2
from textual.pilot import Pilot
from textual.widgets import Input, Static
from typer.testing import CliRunner

from cli.__main__ import app as cli
from cli.output import to_dict
from cli.top_screen import LiveTable, TopApp
from cli.top_view import TABLES, HubStanding, Tone, View, lanes_of
from tests.support import eventually, free_port

UP, DOWN = pb.INSTANCE_STATUS_UP, pb.INSTANCE_STATUS_DOWN


def instance(key: str, service: str, status: "pb.InstanceStatus.ValueType" = UP, **more: Any) -> dict[str, Any]:
    return to_dict(pb.Instance(id=key, service=service, status=status, hub="hub-1", version="1", **more))


def client(node: str, **resource: Any) -> dict[str, Any]:
    told = traffic_pb2.ClientResource(kind="cluster", sent_version="7", **resource)
    return to_dict(traffic_pb2.DiscoveryClient(node_id=node, peer=f"ipv4:{node}", resources=[told]))


def state(**more: Any) -> dict[str, Any]:
    return to_dict(pb.GetRegistryStateResponse(hub_id="hub-1", store="nats", attached=True, **more))


INSTANCES = (
    instance("database-1", "database"),
    instance("database-2", "database", DOWN, status_reason="ClickHouse is away"),
    instance("engine-1", "trading-engine", DOWN),
)
CLIENTS = [
    client("well", running_version="7"),
    client("well", running_version="7"),  # two streams of one connection
    client("late", running_version="6"),
    client("wayward", running_version="6", refusal="no such filter", refused_unix_ms=1),
]
VIEW = View(
    revision=5,
    instances={item["id"]: item for item in INSTANCES},
    hubs=(
        HubStanding("h:1", state(alarms=[pb.Alarm(kind="SERVICE_WITHOUT_ENDPOINTS", text="trading-engine")]), CLIENTS),
        HubStanding("h:2", because="nobody listens there"),
        HubStanding("h:3"),
    ),
    accounts=(to_dict(trading_pb2.AccountStatus(agent="pc-1", account={"login": 7, "server": "s"})),),
)


class FakeSource:
    def __init__(self) -> None:
        self.view = VIEW
        self.events: list[dict[str, Any]] | str = []

    async def run(self) -> None:
        await asyncio.Event().wait()

    async def history(self, instance_id: str) -> list[dict[str, Any]] | str:
        return self.events


@asynccontextmanager
async def screen() -> AsyncIterator[tuple[FakeSource, TopApp, Pilot[None]]]:
    source = FakeSource()
    app = TopApp(source)
    async with app.run_test(size=(140, 40)) as pilot:
        await eventually(lambda: app.query("#instances") and rows(app, "instances"))
        yield source, app, pilot


def rows(app: TopApp, name: str) -> list[list[str]]:
    table = app.query_one(f"#{name}", LiveTable)
    return [[str(cell) for cell in table.get_row_at(number)] for number in range(table.row_count)]


def said(app: TopApp, name: str) -> str:
    return str(app.screen.query_one(f"#{name}", Static).render())


def tones(name: str, view: View = VIEW) -> dict[str, Tone]:
    return {str(row.cells[0]): row.tone for row in TABLES[name].rows(view)}


def test_what_is_wrong_stands_out() -> None:
    """A service without an instance that is UP, an instance that is down, a client that lags or refuses, a hub away."""
    assert tones("services") == {"database": Tone.UNEASY, "trading-engine": Tone.BAD}
    assert tones("instances") == {"database-1": Tone.WELL, "database-2": Tone.BAD, "engine-1": Tone.BAD}
    assert tones("clients") == {"well": Tone.WELL, "late": Tone.BAD, "wayward": Tone.BAD}
    [late, wayward] = [row.cells[-1] for row in TABLES["clients"].rows(VIEW) if row.tone is Tone.BAD]
    assert ("lags" in str(late), "no such filter" in str(wayward)) == (True, True)
    alarms = VIEW.alarms()
    assert any("SERVICE_WITHOUT_ENDPOINTS" in alarm for alarm in alarms)
    assert "hub h:2 does not answer: nobody listens there" in alarms
    assert not [alarm for alarm in alarms if "h:3" in alarm]  # older, and answers


def test_a_lane_has_a_speed() -> None:
    """From what was published between two questions; nothing to compare with is no speed."""

    def status(ticks: int) -> dict[str, Any]:
        symbol = bridge_pb2.SymbolStatus(
            symbol=tick_pb2.SymbolRef(symbol="A"), agent="pc", lane=1, published_ticks=ticks
        )
        lane = bridge_pb2.LaneStatus(agent="pc", lane=1, symbols=1)
        return to_dict(bridge_pb2.GetBridgeStatusResponse(bridge="b", symbols=[symbol], lanes=[lane]))

    first, published = lanes_of(status(100), {}, 2)
    second, _ = lanes_of(status(150), published, 2)
    restarted, _ = lanes_of(status(3), published, 2)
    assert [lanes[0]["ticks_per_s"] for lanes in (first, second, restarted)] == [None, 25, 0]


def test_a_snapshot_is_json() -> None:
    """Everything that the screen shows."""
    facts = json.loads(json.dumps(VIEW.to_json()))
    assert {item["id"] for item in facts["instances"]} == {"database-1", "database-2", "engine-1"}
    assert [item["hub"] for item in facts["clients"]] == ["hub-1"] * 4
    assert (len(facts["alarms"]), len(facts["hubs"]), facts["services"][0]["up"]) == (2, 3, 1)


async def test_the_screen_follows_the_view() -> None:
    """Alarms on top, tables below; paused it stands still; that no hub answers is said, and taken back."""
    async with screen() as (source, app, pilot):
        assert [row[0] for row in rows(app, "instances")] == ["database-1", "database-2", "engine-1"]
        assert "SERVICE_WITHOUT_ENDPOINTS" in said(app, "alarms")
        heights = [app.query_one(f"#{name}").region.y for name in ("alarms", "status", "services", "instances")]
        assert (heights, app.screen.max_scroll_y) == (sorted(heights), 0)
        await pilot.press("p")
        source.view = replace(VIEW, away="nobody listens there", instances={})
        await pilot.pause(0.3)  # longer than from one drawing to the next
        assert (len(rows(app, "instances")), "PAUSED" in said(app, "status")) == (3, True)
        await pilot.press("p")
        assert (len(rows(app, "instances")), "no hub answers" in said(app, "alarms")) == (0, True)
        source.view = replace(VIEW, hubs=())
        await eventually(lambda: (len(rows(app, "instances")), app.query_one("#alarms").display) == (3, False))


async def test_keys_filter_sort_and_go_to_other_tables() -> None:
    """Slash filters by any cell, s sorts by the next column, figures change the table."""
    async with screen() as (_, app, pilot):
        await pilot.press("slash", *"cl", "enter")
        assert [row[0] for row in rows(app, "instances")] == ["database-2"]
        assert app.query_one("#filter", Input).display is False
        await pilot.press("escape")
        assert len(rows(app, "instances")) == 3
        await pilot.press("s", "s", "s")
        assert [row[2] for row in rows(app, "instances")] == ["DOWN", "DOWN", "UP"]
        assert "by STATUS" in said(app, "status")
        await pilot.press("2")
        assert app.focused is app.query_one("#clients")
        await pilot.press("q")
    assert app.return_code == 0


async def test_enter_shows_an_instance_with_its_history() -> None:
    """Newest first; an older hub that has none says so."""
    async with screen() as (source, app, pilot):
        source.events = [
            to_dict(pb.HealthEvent(unix_ms=1000, status=UP, probes=3, failed=1, slowest_ms=2.5, last_error="refused")),
            to_dict(pb.HealthEvent(unix_ms=2000, status=DOWN, reason="three probes failed")),
        ]
        await pilot.press("down", "enter")
        await eventually(lambda: app.screen.query("#history") and len(said(app, "history").splitlines()) == 2)
        assert "database-2" in said(app, "facts")
        newest, older = said(app, "history").splitlines()
        assert ("three probes failed" in newest, "3 probes, 1 failed" in older) == (True, True)
        await pilot.press("escape")
        source.events = "not implemented"
        await pilot.press("enter")
        await eventually(
            lambda: app.screen.query("#history") and "is not known: not implemented" in said(app, "history")
        )


async def test_the_cursor_stays_with_its_row() -> None:
    """Whoever comes above it."""
    async with screen() as (source, app, pilot):
        await pilot.press("down", "down")
        table = app.query_one("#instances", LiveTable)
        assert table.key_at_cursor() == "engine-1"
        more = instance("a-1", "a")
        source.view = replace(VIEW, instances={**VIEW.instances, "a-1": more})
        await eventually(lambda: table.row_count == 4)
        assert table.key_at_cursor() == "engine-1"


def test_without_textual_there_is_a_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is named, with what works without it."""
    (tmp_path / "mesh.json").write_text('{"hubs": ["127.0.0.1:1"]}')
    monkeypatch.setattr("cli.top._on_terminal", lambda: True)
    monkeypatch.delitem(sys.modules, "cli.top_screen")
    monkeypatch.setitem(sys.modules, "textual.app", None)
    result = CliRunner().invoke(cli, ["top", "--state", str(tmp_path)])
    assert (result.exit_code, "suho[top]" in result.stderr, "--once" in result.stderr) == (1, True, True)


def test_a_hub_that_is_away_is_a_snapshot_too(tmp_path: Path) -> None:
    """The object says so, and the status."""
    (tmp_path / "mesh.json").write_text(json.dumps({"hubs": [f"127.0.0.1:{free_port()}"]}))
    result = CliRunner().invoke(cli, ["top", "--json", "--state", str(tmp_path)])
    assert (result.exit_code, bool(json.loads(result.stdout)["away"])) == (3, True)
    assert "suho up" in CliRunner().invoke(cli, ["top", "--state", str(tmp_path)]).stderr
