"""`suho top` on a real hub, which goes away and comes back."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import grpc
import pytest

from cli import top_source
from cli.top_screen import LiveTable, TopApp
from cli.top_source import LiveMesh
from tests.support import eventually, free_port
from tests.support.hub import instance, registered, run_hub

pytestmark = pytest.mark.integration


def hubs_are(state: Path, *addresses: str) -> None:
    """As `suho up` writes it."""
    (state / "mesh.json").write_text(json.dumps({"hubs": addresses}))


def shown(app: TopApp) -> Iterator[str]:
    """Ids and statuses of the instances on the screen."""
    table = app.query_one("#instances", LiveTable)
    for number in range(table.row_count):
        cells = [str(cell) for cell in table.get_row_at(number)]
        yield f"{cells[0]} {cells[2]}"


@asynccontextmanager
async def following(live: LiveMesh) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(live.run())
        yield
        running.cancel()


async def test_the_screen_shows_who_registers_and_leaves(tmp_path: Path) -> None:
    """Within moments; what the hub says of itself beside it."""
    async with run_hub() as hub:
        hubs_are(tmp_path, hub.address)
        app = TopApp(LiveMesh(tmp_path, poll_s=0.1))
        async with app.run_test(size=(140, 40)):
            async with registered(hub.address, instance("echo-1")):
                await eventually(lambda: "echo-1 UP" in shown(app))
                await eventually(lambda: app.query_one("#hubs", LiveTable).row_count == 1)
            await eventually(lambda: "echo-1 UP" not in shown(app))


async def test_a_mesh_that_comes_back_is_shown_anew(tmp_path: Path) -> None:
    """While no hub answers what was known stays, and is said to be old; the next platform may listen elsewhere."""
    live = LiveMesh(tmp_path, poll_s=0.1)
    async with following(live):
        await eventually(lambda: "no platform" in live.view.away)
        async with AsyncExitStack() as orphans:
            async with run_hub() as hub:
                await orphans.enter_async_context(registered(hub.address, instance("echo-1")))
                hubs_are(tmp_path, hub.address)
                await eventually(lambda: not live.view.away and "echo-1" in live.view.instances)
            await eventually(lambda: live.view.away)
            assert (live.view.alarms()[0].startswith("no hub answers"), "echo-1" in live.view.instances) == (True, True)
        async with run_hub(instance="hub-2") as hub, registered(hub.address, instance("echo-2")):
            hubs_are(tmp_path, hub.address)
            await eventually(lambda: not live.view.away and "echo-2" in live.view.instances)
            assert "echo-1" not in live.view.instances


async def test_what_an_older_hub_does_not_know_is_no_alarm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rolling upgrade: it answers, and can not say how it stands."""
    monkeypatch.setattr(top_source, "_ASK_TIMEOUT_S", 20)
    server = grpc.aio.server()
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    hubs_are(tmp_path, f"127.0.0.1:{port}", f"127.0.0.1:{free_port()}")
    live = LiveMesh(tmp_path)
    await live.once()
    old, away = live.view.hubs
    assert (old.state, old.clients, old.because) == (None, None, "")
    assert away.because
    await server.stop(None)
