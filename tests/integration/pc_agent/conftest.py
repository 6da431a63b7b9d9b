"""A twin terminal and an agent as processes, with this test's own bridge and engine behind the lanes."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import psutil
import pytest

from compose.embedded.programs import Plain, Value, toml_of
from pc_agent.twin.control import deal_count
from pc_agent.twin.link import Link
from tests.integration.pc_agent.ends import BridgeEnd, EngineEnd, serve
from tests.support import eventually

ROOT = Path(__file__).resolve().parents[3]
PASSWORD = "twin-test-password"


class Rig:
    """The agent under test between its terminal and its ends."""

    def __init__(self, folder: Path, stack: AsyncExitStack, ports: tuple[int, int]) -> None:
        self.folder = folder
        self.terminal = folder / "terminal"
        self.bridge = BridgeEnd()
        self.engine = EngineEnd()
        self.ports = ports
        self.log = folder / "agent.log"
        self.agent: asyncio.subprocess.Process | None = None
        self._stack = stack

    async def start_terminal(self, feeds: Sequence[str], speed: str, name: str = "terminal", **settings: Value) -> None:
        config = self.folder / f"{name}.toml"
        own: dict[str, Value] = {"folder": str(self.folder / name), "feeds": tuple(feeds), "speed": speed}
        config.write_text(toml_of({**own, "password": PASSWORD, **settings}))
        await self._spawn("-m", "pc_agent.twin", "--config", str(config), log=self.folder / f"{name}.log")

    async def start_agent(self, failpoints: str = "", **settings: Value) -> None:
        given: dict[str, Value] = {"terminals": (self.table(),), **settings}
        config = self.folder / "agent.toml"
        config.write_text(toml_of({"state_dir": str(self.folder / "agent"), **given}))
        bridge, engine = self.ports
        self.agent = await self._spawn(
            "-m", "tests.integration.pc_agent.agent_process", str(config), f"127.0.0.1:{bridge}", f"127.0.0.1:{engine}",
            log=self.log, failpoints=failpoints,
        )  # fmt: skip

    def table(self, folder: str = "terminal", **settings: Plain) -> dict[str, Plain]:
        """A [[terminals]] table."""
        secret = self.folder / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o600)
        path = str(self.folder / folder)
        account: dict[str, Plain] = {"path": path, "login": 1_000_001, "password_file": str(secret)}
        return {"module": "pc_agent.twin.client", **account, **settings}

    async def end_agent(self) -> None:
        """Kill it, or wait until it is dead."""
        assert self.agent is not None
        if self.agent.returncode is None:
            self.agent.kill()
        await self.agent.wait()

    async def joined(self) -> None:
        """Lane 0 and the four tick lanes are there."""
        await eventually(lambda: self.engine.hello is not None and set(self.bridge.lanes) == {1, 2, 3, 4}, 30)

    def workers(self) -> list[psutil.Process]:
        """The agent's worker process, when there is one."""
        assert self.agent is not None
        children = psutil.Process(self.agent.pid).children()
        return [child for child in children if "resource_tracker" not in " ".join(child.cmdline())]

    def select(self, symbol: str, shown: bool) -> None:
        """Show or hide a symbol in the terminal, as a person does."""
        link = Link()
        link.open(self.terminal, 5.0)
        try:
            link.ask("symbol_select", symbol, shown)
        finally:
            link.close()

    def deals(self) -> int:
        return deal_count(self.terminal)

    async def _spawn(self, *arguments: str, log: Path, failpoints: str = "") -> asyncio.subprocess.Process:
        environment = {**os.environ, "SUHO_FAILPOINTS": failpoints}
        with log.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                sys.executable, *arguments, cwd=ROOT, env=environment, stdout=output, stderr=output
            )
        self._stack.push_async_callback(_end, process)
        return process


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
        try:
            async with asyncio.timeout(8):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


@asynccontextmanager
async def open_rig(folder: Path) -> AsyncIterator[Rig]:
    """With nothing started yet but the ends."""
    async with AsyncExitStack() as stack:
        made = Rig(folder, stack, (0, 0))
        made.ports = await stack.enter_async_context(serve(made.bridge, made.engine))
        yield made


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with open_rig(tmp_path) as made:
        yield made
