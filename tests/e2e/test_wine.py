"""The agent of a Windows PC, run by Windows' Python under Wine, in a mesh of this machine. By flag: docs/agent.md."""

import asyncio
import re
import shutil
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from importlib.metadata import distribution
from pathlib import Path

import pytest
from suho.agent.v1 import agent_pb2 as pb

from cli.agent_connection import AgentCalls
from mesh.channel import direct_channel
from mesh.environment import child_environment
from pc_agent.control.endpoint import find
from tests.support import eventually
from tests.support.platform import run_platform
from tests.support.suho import suho

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

ROOT = Path(__file__).resolve().parents[2]
# Wine starts a Python in seconds, and the agent has a worker.
_STARTS_S = 120
PASSWORD = "twin-test-password"


def windows(path: Path) -> str:
    """As Wine shows a path of this machine."""
    return "Z:" + str(path).replace("/", "\\")


@asynccontextmanager
async def process(*command: str, log: Path, environment: Mapping[str, str] | None = None) -> AsyncIterator[None]:
    """One that writes into a pipe: Windows' Python under Wine starts with nothing else."""
    started = await asyncio.create_subprocess_exec(
        *command,
        cwd=ROOT,
        env=child_environment(environment or {}),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_copy(started, log))
        try:
            yield
        finally:
            if started.returncode is None:
                started.terminate()
            await started.wait()


async def _copy(started: asyncio.subprocess.Process, log: Path) -> None:
    assert started.stdout is not None
    with log.open("wb", buffering=0) as file:
        while data := await started.stdout.read(65536):
            file.write(data)


def own_metadata(folder: Path) -> Path:
    """Windows' Python runs this tree, and asks which version it is."""
    dist = distribution("suho")
    made = folder / "metadata" / f"suho-{dist.version}.dist-info"
    made.mkdir(parents=True)
    (made / "METADATA").write_text(f"Metadata-Version: 2.1\nName: suho\nVersion: {dist.version}\n")
    return made.parent


async def status_of(folder: Path) -> pb.AgentStatus:
    endpoint = find(folder)
    async with direct_channel([endpoint.address]) as channel:
        agent = AgentCalls(channel, endpoint.token)
        answer: pb.GetStatusResponse = await agent(agent.stub.GetStatus, pb.GetStatusRequest())
        return answer.status


def write_settings(folder: Path, hubs: tuple[str, ...]) -> None:
    """Of a twin on this machine and of the agent that Windows' Python runs; its account is another than the mesh's."""
    (folder / "password").write_text(PASSWORD)
    (folder / "twin.toml").write_text(f'folder = "{folder}/terminal"\npassword = "{PASSWORD}"\nseed = 2\n')
    (folder / "agent.toml").write_text(
        f"""instance = "wine-agent"
hubs = {list(hubs)}
history_start = "now"
state_dir = '{windows(folder / "agent")}'
log_dir = '{windows(folder / "logs")}'
[[terminals]]
module = "pc_agent.twin.client"
path = '{windows(folder / "terminal")}'
login = 1000001
password_file = '{windows(folder / "password")}'
"""
    )


async def test_an_agent_of_windows_streams_ticks_and_executes_a_signal(wine_python: str, tmp_path: Path) -> None:
    """It starts, joins the mesh with five lanes, is told apart by its status, trades once, and is ended as Windows ends
    programs: by a message to its window."""
    wine = shutil.which("wine")
    assert wine is not None, "--wine is given, but there is no wine"
    paths = ";".join(map(windows, (ROOT, ROOT / "protos", own_metadata(tmp_path))))
    environment = {"PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1", "WINEDEBUG": "-all"}
    folder = tmp_path / "pc"
    folder.mkdir()
    async with run_platform(state=tmp_path / "state") as platform:
        await platform.ready()
        write_settings(folder, platform.hubs)
        (folder / "agent").mkdir()
        twin = process(
            sys.executable, "-m", "pc_agent.twin", "--config", str(folder / "twin.toml"), log=folder / "twin.log"
        )
        agent = process(
            *(wine, wine_python, "-m", "pc_agent", "--config", windows(folder / "agent.toml")),
            log=folder / "agent.log", environment=environment,
        )  # fmt: skip
        async with twin, agent:
            logged = folder / "logs" / "pc-agent.log"
            await eventually(lambda: logged.exists() and '"ready"' in logged.read_text("utf-8"), _STARTS_S)
            told = await status_of(folder / "agent")
            assert [lane.stands for lane in told.lanes] == [True] * 5
            assert told.terminals[0].role == pb.AGENT_ROLE_EXECUTING
            account = f"1000001@{told.terminals[0].account.server}"
            words = ("--account", account, "--symbol", "EURUSD", "--side", "buy", "--volume", "0.10", "--json")
            sent = await suho("signal", "send", *words, state=platform.state)
            assert (sent.status, sent.json["state"], sent.json["agent"]) == (0, "FILLED", "wine-agent"), sent.err
            before = {one.symbol: one.newest_unix_ms for one in told.symbols}

            async def all_flow() -> bool:
                symbols = (await status_of(folder / "agent")).symbols
                return bool(before) and all(one.newest_unix_ms > before[one.symbol] for one in symbols)

            await eventually(all_flow, 30)
            number = re.search(r'"pid": (\d+), "event": "starting"', logged.read_text("utf-8"))
            assert number is not None
            async with process(wine, "taskkill", "/PID", number[1], log=folder / "kill.log", environment=environment):
                await eventually(lambda: '"stopped"' in logged.read_text("utf-8"), 30)
            await eventually(lambda: not (folder / "agent" / "endpoint.json").exists(), 10)
        lines = logged.read_text("utf-8").splitlines()
        assert not [line for line in lines if '"level": "error"' in line]
