"""The person's commands at the PC, against an agent that answers as it is told."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from suho.agent.v1 import agent_pb2 as pb
from suho.agent.v1 import agent_pb2_grpc
from suho.common.v1 import account_pb2
from suho.trading.v1 import agent_link_pb2, order_pb2
from typer.testing import CliRunner

from cli.__main__ import app
from cli.output import EXIT_REFUSED, EXIT_UNREACHABLE
from mesh.errors import MeshError, Reason
from mesh.server import service
from pc_agent.control.server import open_control

ACCOUNT, OTHER = account_pb2.AccountRef(server="Live-1", login=7), account_pb2.AccountRef(server="Demo-1", login=8)
S, SIDE = order_pb2.OrderState, order_pb2.OrderSide
OWN = order_pb2.Position(ticket=11, symbol="EURUSD", side=SIDE.ORDER_SIDE_BUY, volume="0.1", signal_id="a")
FOREIGN = order_pb2.Position(ticket=12, symbol="XAUUSD", side=SIDE.ORDER_SIDE_SELL, volume="1")
RESTING = order_pb2.WorkingOrder(ticket=13, symbol="GBPUSD", kind=order_pb2.ORDER_KIND_LIMIT, volume="0.3", price="1.2")
MISSING = order_pb2.Difference(kind=order_pb2.DIFFERENCE_KIND_UNKNOWN_POSITION, symbol="XAUUSD", ticket=12,
                               message="nobody here asked for it")  # fmt: skip
QUESTIONS = [
    pb.Confirmation(signal_id=name, account=ACCOUNT, sentence=f"market buy 0.{n} lots of EURUSD", until_unix_ms=9)
    for n, name in enumerate(("ab-1", "ab-2", "cd-3"))
]


class FakeAgent(agent_pb2_grpc.AgentServiceServicer):
    """Two accounts; remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.halted = pb.HaltResponse()
        self.closed = pb.ClosePositionsResponse()
        self.remaining: list[agent_link_pb2.AgentSafety] = []
        self.refusal: MeshError | None = None
        self.statuses = [pb.AgentStatus()]

    def _note(self, request: Any) -> None:
        self.asked.append(request)
        if self.refusal:
            raise self.refusal

    async def GetStatus(self, request: Any, context: Any) -> pb.GetStatusResponse:
        terminals = [pb.TerminalStatus(account=account) for account in (ACCOUNT, OTHER)]
        return pb.GetStatusResponse(status=pb.AgentStatus(terminals=[*terminals, pb.TerminalStatus(name="silent")]))

    async def WatchStatus(self, request: Any, context: Any) -> AsyncIterator[pb.WatchStatusResponse]:
        for status in self.statuses:
            yield pb.WatchStatusResponse(status=status)

    async def ListPositions(self, request: Any, context: Any) -> pb.ListPositionsResponse:
        held = agent_link_pb2.AccountSnapshot(positions=[OWN, FOREIGN], orders=[RESTING], differences=[MISSING])
        terminals = [pb.TerminalPositions(account=ACCOUNT, snapshot=held), pb.TerminalPositions(account=OTHER)]
        return pb.ListPositionsResponse(terminals=terminals, silent=["terminal north has not answered yet"])

    async def ClosePositions(self, request: Any, context: Any) -> pb.ClosePositionsResponse:
        self._note(request)
        return self.closed

    async def Halt(self, request: Any, context: Any) -> pb.HaltResponse:
        self._note(request)
        return self.halted

    async def Resume(self, request: Any, context: Any) -> pb.ResumeResponse:
        self._note(request)
        return pb.ResumeResponse(remaining=self.remaining)

    async def AllowLiveMoney(self, request: Any, context: Any) -> pb.AllowLiveMoneyResponse:
        self._note(request)
        return pb.AllowLiveMoneyResponse()

    async def AdoptPosition(self, request: Any, context: Any) -> pb.AdoptPositionResponse:
        self._note(request)
        return pb.AdoptPositionResponse(position=FOREIGN)

    async def ListConfirmations(self, request: Any, context: Any) -> pb.ListConfirmationsResponse:
        return pb.ListConfirmationsResponse(confirmations=QUESTIONS)

    async def Confirm(self, request: Any, context: Any) -> pb.ConfirmResponse:
        self._note(request)
        return pb.ConfirmResponse(behind="ab-1" if request.confirmed else "")

    async def ResolveOrder(self, request: Any, context: Any) -> pb.ResolveOrderResponse:
        self._note(request)
        return pb.ResolveOrderResponse()


Suho = Callable[..., Awaitable[Result]]


@pytest.fixture
async def agent(tmp_path: Path) -> AsyncIterator[FakeAgent]:
    fake = FakeAgent()
    services = [service(agent_pb2_grpc.add_AgentServiceServicer_to_server, fake, "suho.agent.v1.AgentService")]
    async with open_control("pc-7", tmp_path, 0, services):
        yield fake


@pytest.fixture
def suho(agent: FakeAgent, tmp_path: Path) -> Suho:
    """Run `suho agent …` on the agent."""

    async def run(*words: str) -> Result:
        return await asyncio.to_thread(
            lambda: CliRunner().invoke(app, ["agent", *words, "--agent-state", f"{tmp_path}"])
        )

    return run


async def test_a_halt_stops_entries_and_flattens_only_when_told_to(agent: FakeAgent, suho: Suho) -> None:
    """Of all accounts unless one is named; the reason is told to everybody."""
    told = await suho("halt")
    assert (told.exit_code, "positions and pending orders stay" in told.stdout) == (0, True), told.output
    await suho("halt", "--reason", "storm", "--flatten", "--account", "8@Demo-1")
    every, one = agent.asked
    assert (every.HasField("account"), every.flatten, every.reason) == (False, False, "halted by hand")
    assert (one.account, one.flatten, one.reason) == (OTHER, True, "storm")


@pytest.mark.parametrize(
    ("state", "status"),
    [
        (S.ORDER_STATE_FILLED, 0),
        (S.ORDER_STATE_REJECTED, EXIT_REFUSED),
        (S.ORDER_STATE_EXPIRED, EXIT_REFUSED),
        (S.ORDER_STATE_UNKNOWN, EXIT_UNREACHABLE),
    ],
)
async def test_what_was_closed_is_told_and_the_worst_decides_the_status(
    agent: FakeAgent, suho: Suho, state: "order_pb2.OrderState.ValueType", status: int
) -> None:
    """Removed orders beside positions; for programs and for people."""
    closed = [pb.ClosedPosition(ticket=11, state=S.ORDER_STATE_FILLED), pb.ClosedPosition(ticket=12, state=state)]
    agent.halted = pb.HaltResponse(positions=closed, orders=[pb.RemovedOrder(ticket=13, state=S.ORDER_STATE_DONE)])
    agent.closed = pb.ClosePositionsResponse(positions=closed)
    halted, closing = await suho("halt", "--flatten", "--json"), await suho("close", "--all", "--id", "r1")
    assert (halted.exit_code, closing.exit_code) == (status, status), halted.output
    facts = json.loads(halted.stdout)
    assert ([one["ticket"] for one in facts["positions"]], facts["orders"][0]["ticket"]) == ([11, 12], 13)
    assert "11" in closing.stdout
    assert (agent.asked[1].request_id, list(agent.asked[1].positions)) == ("r1", [])


@pytest.mark.parametrize("targets", [("11",), ("EURUSD",), ("11", "EURUSD", "--account", "7")])
async def test_what_is_ours_is_closed_by_ticket_or_symbol(
    agent: FakeAgent, suho: Suho, targets: tuple[str, ...]
) -> None:
    """Each once, on the account that has it; an account that has not been read hides no ticket that was found."""
    told = await suho("close", *targets)
    assert told.exit_code == (EXIT_REFUSED if targets == ("EURUSD",) else 0), told.output
    (request,) = agent.asked
    assert (list(request.positions), request.account, bool(request.request_id)) == ([11], ACCOUNT, True)


async def test_what_can_not_be_closed_keeps_nothing_else_open(agent: FakeAgent, suho: Suho) -> None:
    """Foreign ones, unknown ones, accounts that have not been read: told, with status 1; what is gone meanwhile is no
    failure."""
    told = await suho("close", "EURUSD", "12", "XYZ", "--json")
    assert told.exit_code == EXIT_REFUSED
    failed = [(one["of"], one["message"]) for one in json.loads(told.stdout)["failed"]]
    begin = [("12", "position 12 was not opened here"), ("XYZ", "no position bears"), ("8@Demo-1", "what it holds"),
             ("agent", "terminal north has not answered")]  # fmt: skip
    assert [of for of, _ in failed] == [of for of, _ in begin]
    assert all(message.startswith(words) for (_, message), (_, words) in zip(failed, begin, strict=True))
    assert [list(one.positions) for one in agent.asked] == [[11]]
    agent.refusal = MeshError(Reason.UNKNOWN_TICKET, "position 11 is not open")
    gone = await suho("close", "11")
    assert (gone.exit_code, "position 11 of 7@Live-1 was closed meanwhile" in gone.stdout) == (0, True)


async def test_nothing_is_closed_unless_it_is_said_what(agent: FakeAgent, suho: Suho) -> None:
    """Neither without targets and --all, nor with both, nor on an account that is not here."""
    assert [(await suho("close", *words)).exit_code for words in ((), ("11", "--all"))] == [2, 2]
    unknown = await suho("close", "11", "--account", "9")
    assert (unknown.exit_code, "accounts: 7@Live-1, 8@Demo-1" in unknown.stderr) == (EXIT_REFUSED, True)
    assert not agent.asked


async def test_what_could_not_be_closed_is_said_in_the_agents_words(agent: FakeAgent, suho: Suho) -> None:
    """With its reason; the status says that it may be asked again."""
    agent.refusal = MeshError(Reason.TERMINAL_AWAY, "the terminal of 7 does not show its books; closed or removed: 20")
    told = await suho("halt", "--flatten")
    assert told.exit_code == EXIT_UNREACHABLE
    assert "does not show its books; closed or removed: 20 [TERMINAL_AWAY]" in told.stderr


async def test_resume_tells_what_still_forbids_entries(agent: FakeAgent, suho: Suho) -> None:
    """Status 1 then; 0 where nothing does."""
    assert "allowed again" in (await suho("resume")).stdout
    agent.remaining = [agent_link_pb2.AgentSafety(halted=True, reason="DAILY_LOSS", message="enough was lost today")]
    told = await suho("resume", "--account", "7")
    assert (told.exit_code, told.stdout) == (EXIT_REFUSED, "still halted, DAILY_LOSS: enough was lost today\n")
    assert agent.asked[-1].account == ACCOUNT


async def test_positions_orders_and_differences_of_all_accounts_are_shown(suho: Suho) -> None:
    """And of which of them nothing is known."""
    told = await suho("positions")
    assert told.exit_code == 0, told.output
    lines = [line.split() for line in told.stdout.splitlines()]
    assert lines[1][:4] == ["11", "7@Live-1", "EURUSD", "BUY"]
    assert lines[2][-1] == "foreign"
    assert lines[4][:4] == ["13", "7@Live-1", "GBPUSD", "LIMIT"]
    assert told.stdout.splitlines()[5:] == [
        "! terminal north has not answered yet",
        "! 8@Demo-1: its books were not read yet",
        "UNKNOWN_POSITION XAUUSD 12: nobody here asked for it",
    ]
    facts = json.loads((await suho("positions", "--json")).stdout)
    assert facts["terminals"][0]["snapshot"]["positions"][1]["ticket"] == 12


async def test_a_foreign_position_is_adopted_and_live_money_allowed_by_name(agent: FakeAgent, suho: Suho) -> None:
    """`--forbid` takes it back."""
    adopted = await suho("adopt", "12", "--account", "7")
    assert (adopted.exit_code, "12: sell 1 XAUUSD" in adopted.stdout) == (0, True), adopted.output
    await suho("allow-live", "7")
    forbidden = await suho("allow-live", "7@Live-1", "--forbid", "--json")
    assert json.loads(forbidden.stdout) == {"account": "7@Live-1", "allowed": False}
    adopting, *allowing = agent.asked
    assert (adopting.position, adopting.account) == (12, ACCOUNT)
    assert [(one.account, one.allowed) for one in allowing] == [(ACCOUNT, True), (ACCOUNT, False)]


async def test_what_waits_is_answered_by_its_id_or_how_that_begins(agent: FakeAgent, suho: Suho) -> None:
    """An id that nothing waiting bears is the agent's to judge; a beginning that several have is refused here."""
    listed = await suho("confirmations")
    assert ("cd-3" in listed.stdout, "market buy 0.2 lots of EURUSD" in listed.stdout) == (True, True)
    assert "cd-3: confirmed; it waits for ab-1, which came before it" in (await suho("confirm", "cd")).stdout
    assert (await suho("confirm", "ab-2", "--refuse")).stdout == "ab-2: refused\n"
    both = await suho("confirm", "ab")
    assert (both.exit_code, "2 of them begin: ab-1, ab-2" in both.stderr) == (EXIT_REFUSED, True)
    agent.refusal = MeshError(Reason.UNKNOWN_ORDER, "no signal 'x' waits")
    assert (await suho("confirm", "x")).exit_code == EXIT_REFUSED
    assert [(one.signal_id, one.confirmed) for one in agent.asked] == [("cd-3", True), ("ab-2", False), ("x", True)]


async def test_what_waits_is_watched_as_it_comes_and_goes(agent: FakeAgent, suho: Suho) -> None:
    """Each once, with what to type; for programs a line each."""
    first, second, third = QUESTIONS
    agent.statuses = [
        pb.AgentStatus(confirmations=of) for of in ([], [first], [first, second], [second], [second, third])
    ]
    lines = (await suho("confirmations", "--watch")).stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["ab-1", "ab-2", "ab-1", "cd-3"]
    assert lines[0] == ("ab-1 on 7@Live-1, for 0 s: market buy 0.0 lots of EURUSD; `suho agent confirm ab-1`")
    assert "ab-1 waits no more" in lines[2]
    facts = [json.loads(line) for line in (await suho("confirmations", "--watch", "--json")).stdout.splitlines()]
    assert [(one["signal_id"], one["waits"]) for one in facts] == [
        ("ab-1", True),
        ("ab-2", True),
        ("ab-1", False),
        ("cd-3", True),
    ]


async def test_what_became_of_an_order_is_said_once_and_whole(agent: FakeAgent, suho: Suho) -> None:
    """Filled at so much and for what, or not executed: one of the two."""
    assert "a: FILLED, as you say" in (await suho("resolve", "a", "--filled", "0.02@1.0850")).stdout
    assert (await suho("resolve", "b", "--not-executed")).exit_code == 0
    wrong = ((), ("--filled", "0.02"), ("--filled", "0.02@1.1", "--not-executed"))
    assert [(await suho("resolve", "c", *words)).exit_code for words in wrong] == [2, 2, 2]
    filled, never = agent.asked
    assert (filled.state, filled.filled_volume, filled.filled_price) == (S.ORDER_STATE_FILLED, "0.02", "1.0850")
    assert (never.signal_id, never.state, never.filled_volume) == ("b", S.ORDER_STATE_NOT_EXECUTED, "")
