"""`suho agent status`: what is wrong stands first, and the agent behind it may come and go."""

import asyncio
import io
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from rich.live import Live
from suho.agent.v1 import agent_pb2 as pb
from suho.agent.v1 import agent_pb2_grpc
from suho.trading.v1 import agent_link_pb2, order_pb2
from typer.testing import CliRunner

from cli import agent_status
from cli.__main__ import app
from cli.agent_status import screen_of
from cli.agent_status_view import troubles
from cli.output import EXIT_REFUSED, EXIT_UNREACHABLE
from mesh.environment import child_environment
from mesh.server import service
from pc_agent.control.server import open_control
from tests.support import eventually


def whole() -> pb.AgentStatus:
    """Of an agent that lacks nothing."""
    status = pb.AgentStatus(agent="pc-7", version="0.1.0", started_unix_ms=1_790_000_000_000)
    for number in range(5):
        status.lanes.add(number=number, stands=True, peer="engine-1" if number == 0 else "bridge-1", symbols=number)
    terminal = status.terminals.add(name="north", connected=True, worker_pid=77, ping_ms=12.5)
    terminal.role, terminal.trading_state = pb.AGENT_ROLE_EXECUTING, order_pb2.TRADING_STATE_ACTIVE
    terminal.account.server, terminal.account.login = "Broker-Demo", 42
    market = order_pb2.MarketConditions(session_open=True, spread_points=3, mean_spread_points=4.5, news="NFP")
    status.symbols.add(symbol="EURUSD", lane=2, newest_unix_ms=1_790_000_000_123, source="north", market=market)
    status.confirmations.add(signal_id="ab-1", account=terminal.account, sentence="market buy 0.7 lots of EURUSD")
    status.ledger.orders["FILLED"] = 3
    status.errors.add(at_unix_ms=1_790_000_000_000, message="tick lane lost: no hub", times=812)
    return status


class FakeAgent(agent_pb2_grpc.AgentServiceServicer):
    def __init__(self) -> None:
        self.status = whole()
        self.watchers = 0

    async def GetStatus(self, request: pb.GetStatusRequest, context: Any) -> pb.GetStatusResponse:
        return pb.GetStatusResponse(status=self.status)

    async def WatchStatus(self, request: pb.WatchStatusRequest, context: Any) -> AsyncIterator[pb.WatchStatusResponse]:
        self.watchers += 1
        yield pb.WatchStatusResponse(status=self.status)
        await asyncio.Event().wait()


@asynccontextmanager
async def serving(agent: FakeAgent, folder: Path) -> AsyncIterator[None]:
    services = [service(agent_pb2_grpc.add_AgentServiceServicer_to_server, agent, "suho.agent.v1.AgentService")]
    async with open_control("pc-7", folder, 0, services):
        yield


def _shown(away: str = "", status: pb.AgentStatus | None = None) -> str:
    console = Console(width=160, file=io.StringIO())
    console.print(screen_of(status, away))
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


async def test_all_is_shown_and_what_is_wrong_decides_the_status(tmp_path: Path) -> None:
    """0 while all is well; 1 with the sentence while something is not; 3 where no agent answers."""
    agent = FakeAgent()
    words = ["agent", "status", "--agent-state", str(tmp_path)]

    async def tell(*more: str) -> Any:
        return await asyncio.to_thread(CliRunner().invoke, app, [*words, *more])

    async with serving(agent, tmp_path):
        told = await tell()
        assert told.exit_code == 0, told.output
        for part in ("pc-7", "engine-1", "42@Broker-Demo", "executing", "EURUSD", "spread 3 (4.5)", "news: NFP",
                     "buy 0.7 lots", "orders FILLED", "  812  ", "tick lane lost: no hub"):  # fmt: skip
            assert part in told.stdout
        agent.status.lanes[3].stands = False
        agent.status.terminals[0].findings.append("AutoTrading is off: press the button")
        facts = await tell("--json")
        assert facts.exit_code == EXIT_REFUSED
        found = json.loads(facts.stdout)
        assert found["lanes"][2]["peer"] == "bridge-1"
        assert [one.partition(" since")[0] for one in found["troubles"]] == [
            "terminal north: AutoTrading is off: press the button",
            "lane 3 is away",
        ]
        assert "WRONG terminal north: AutoTrading" in (await tell()).stdout
    gone = await tell()
    assert (gone.exit_code, "--agent-state" in gone.stderr) == (EXIT_UNREACHABLE, True)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda status: setattr(status, "missing", "lane 0 has no engine"), "lane 0 has no engine"),
        (lambda status: status.ledger.orders.update({"UNKNOWN": 2}), "of 2 orders it is not known"),
        (lambda status: setattr(status.ledger, "reports_refused", 1), "the engine refused 1 reports"),
        (
            lambda status: status.ledger.deals_refused.add(deal=8, message="no such symbol"),
            "the engine refused deal 8 and does not count it: no such symbol",
        ),
        (lambda status: setattr(status.config, "refusal", "no such setting"), "are refused: no such setting"),
        (
            lambda status: status.terminals[0].safety.CopyFrom(
                agent_link_pb2.AgentSafety(halted=True, reason="KILL_SWITCH", message="by hand")
            ),
            "north takes no entries: by hand",
        ),
    ],
    ids=["missing", "unknown", "refused", "refused deal", "settings", "halted"],
)
def test_each_thing_that_is_wrong_is_said(change: Callable[[pb.AgentStatus], None], sentence: str) -> None:
    status = whole()
    assert troubles(status) == []
    change(status)
    assert any(sentence in trouble for trouble in troubles(status))
    assert sentence in _shown(status=status)


async def test_the_live_view_outlives_the_agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While nobody answers the last that was known stands under the reason; another agent is found by itself."""
    shown: list[str] = []
    monkeypatch.setattr(agent_status, "screen_of", lambda status, away: shown.append(_shown(away, status)) or "")
    with Live(console=Console(file=io.StringIO()), auto_refresh=False) as live:
        async with asyncio.TaskGroup() as tasks:
            drawing = tasks.create_task(agent_status._draw(tmp_path, live))
            await eventually(lambda: shown and "no agent runs on" in shown[-1])
            first, second = FakeAgent(), FakeAgent()
            async with serving(first, tmp_path):
                await eventually(lambda: "EURUSD" in shown[-1] and "no agent answers" not in shown[-1])
            await eventually(lambda: "no agent answers" in shown[-1] and "EURUSD" in shown[-1])
            async with serving(second, tmp_path):
                await eventually(lambda: second.watchers == 1 and "no agent answers" not in shown[-1])
            drawing.cancel()


def test_a_console_that_knows_few_characters_costs_characters_not_the_command() -> None:
    """Windows' pipes have a code page; what it lacks is written as a question mark."""
    words = [sys.executable, "-P", "-m", "cli", "agent", "install", "--help"]
    environment = child_environment({"PYTHONIOENCODING": "ascii"})
    done = subprocess.run(words, capture_output=True, text=True, env=environment, check=False)
    assert (done.returncode, "1, 2, 4 ? 64 s" in " ".join(done.stdout.split())) == (0, True), done.stderr
