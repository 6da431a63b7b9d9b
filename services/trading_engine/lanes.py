"""Which agent has which account: one lane an account, and never two agents that may execute at once."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from suho.trading.v1 import order_pb2

from mesh.draining import Draining
from mesh.errors import MeshError, Reason
from mesh.log import get_logger
from services.trading_engine.domain.order import AccountId, SymbolSpec

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Hello:
    """How an agent introduced itself. It holds its account's signals up to `last_seq` of `epoch`."""

    agent: str
    account: AccountId
    trade_mode: "order_pb2.TradeMode.ValueType"
    symbols: Mapping[str, SymbolSpec]
    epoch: int
    last_seq: int


class Lane(Protocol):
    """One agent's stream."""

    hello: Hello

    def end(self, error: MeshError) -> None:
        """Stop at once, saying why."""

    async def drain(self, reason: str) -> None:
        """Say what is still to be said, ask the agent to go elsewhere, and end."""


@dataclass(frozen=True, slots=True)
class _Lease:
    agent: str
    until: float


class Lanes:
    """The lanes of this engine; while it is `draining` it takes none."""

    def __init__(self, draining: Draining) -> None:
        self._draining = draining
        self._lanes: dict[AccountId, Lane] = {}
        self._leases: dict[AccountId, _Lease] = {}
        self._joined = asyncio.Condition()

    async def join(self, lane: Lane) -> None:
        """Put `lane` in its account's place, ending an older one; returns when no other agent may execute any more."""
        hello = lane.hello
        if self._draining.is_set():
            raise MeshError(Reason.SHUTTING_DOWN, "this engine drains; connect again")
        older = self._lanes.get(hello.account)
        if older is not None:
            older.end(MeshError(Reason.AGENT_REPLACED, f"agent {hello.agent!r} took over account {hello.account}"))
        self._lanes[hello.account] = lane
        lease = self._leases.get(hello.account)
        if lease is not None and lease.agent != hello.agent:
            # The other agent counts from before it asked for it, so its own has ended by then.
            await asyncio.sleep(max(0.0, lease.until - asyncio.get_running_loop().time()))
        async with self._joined:
            self._joined.notify_all()

    def leave(self, lane: Lane) -> None:
        """A lane that ended; nothing when another has its place."""
        if self._lanes.get(lane.hello.account) is lane:
            del self._lanes[lane.hello.account]

    def renew(self, lane: Lane, valid_for_ms: int) -> None:
        """Its agent is about to be told that it may execute for so long."""
        if self._lanes.get(lane.hello.account) is not lane:
            return  # it was replaced, and what it says now is not sent any more
        until = asyncio.get_running_loop().time() + valid_for_ms / 1000
        self._leases[lane.hello.account] = _Lease(lane.hello.agent, until)

    def agent(self, account: AccountId) -> str:
        """Whose lane it is; empty: nobody's."""
        lane = self._lanes.get(account)
        return lane.hello.agent if lane else ""

    def symbols(self, account: AccountId) -> Mapping[str, SymbolSpec] | None:
        """What its agent trades; None while none is connected."""
        lane = self._lanes.get(account)
        return lane.hello.symbols if lane else None

    async def until_joined(self, account: AccountId) -> None:
        """Returns when an agent of the account is connected."""
        async with self._joined:
            await self._joined.wait_for(lambda: account in self._lanes)

    async def drain(self) -> None:
        """Send every agent elsewhere."""
        async with asyncio.TaskGroup() as tasks:
            for lane in list(self._lanes.values()):
                tasks.create_task(lane.drain("the engine drains"))
