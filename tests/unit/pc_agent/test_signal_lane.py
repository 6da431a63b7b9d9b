"""What the agent makes of its lane's messages."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from suho.trading.v1 import agent_link_pb2 as pb

from pc_agent.domain.orders import Account
from pc_agent.domain.server_clock import Lease, ServerClock
from pc_agent.domain.signal_sequence import SignalSequence
from pc_agent.orders.ledger import Ledger, open_ledger
from pc_agent.orders.signal_lane import SignalLane
from pc_agent.terminal.messages import AccountFacts, Connected
from tests.support import eventually

VALID_MS = 5_000


class SlowEngine:
    """Grants its lease at once, but what it says arrives only when `arrives` is set; then it says nothing more."""

    def __init__(self) -> None:
        self.arrives = asyncio.Event()
        self.granted_ns = 0

    def stream_stream(self, *_: object, **__: object) -> Any:
        return lambda _: self

    async def read(self) -> pb.StreamSignalsResponse:
        if self.granted_ns:
            await asyncio.Event().wait()
        self.granted_ns = time.monotonic_ns()
        await self.arrives.wait()
        return pb.StreamSignalsResponse(joined=pb.Joined(engine="engine", epoch=1, valid_for_ms=VALID_MS))

    def cancel(self) -> None:
        self.arrives.set()


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with open_ledger(tmp_path) as opened:
        yield opened


async def test_a_lease_that_arrives_late_does_not_last_longer(ledger: Ledger) -> None:
    """The engine counts from its grant; an agent that counted from the arrival could execute beside its successor."""
    engine, lease = SlowEngine(), Lease()
    channel: grpc.aio.Channel = engine  # type: ignore[assignment]
    lane = SignalLane(channel, "pc-1", ledger, ServerClock(), lease)
    facts = Connected(AccountFacts("broker-1", 42, 0), ())
    execution: Any = None  # no signal comes
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(lane.run(lambda: facts, SignalSequence(Account("broker-1", 42), 0, 0), execution))
        await eventually(lambda: engine.granted_ns)
        engine.arrives.set()
        await eventually(lambda: lane.stands)
        running.cancel()
    assert 0 < lease.until_ns <= engine.granted_ns + VALID_MS * 1_000_000
