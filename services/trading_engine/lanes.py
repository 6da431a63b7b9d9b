"""Which agent has which account here: one lane an account, and who stands by for it."""

import asyncio
from dataclasses import dataclass, field
from typing import Protocol

from suho.database.v1 import order_service_pb2 as db
from suho.trading.v1 import agent_link_pb2 as link
from suho.trading.v1 import order_pb2

from mesh.draining import Draining
from mesh.errors import MeshError, Reason
from services.trading_engine.agent_said import AgentSaid
from services.trading_engine.domain.order import AccountId


@dataclass(frozen=True, slots=True)
class Hello:
    """How an agent introduced itself. Its `ledger` holds its account's signals up to `last_seq` of `epoch`."""

    agent: str
    account: AccountId
    trade_mode: "order_pb2.TradeMode.ValueType"
    margin_mode: "link.MarginMode.ValueType"
    epoch: int
    last_seq: int
    ledger: str


class Lane(Protocol):
    """One agent's stream."""

    hello: Hello
    said: AgentSaid

    def offer(self, order: order_pb2.Order) -> None:
        """Hand a signal down at once that was just committed for this lane's ledger."""

    def tell_state(self, account: db.Account) -> None:
        """The account's trading state changed; what the lane knows to be overtaken it does not tell."""

    def end(self, error: MeshError) -> None:
        """Stop at once, saying why."""

    async def drain(self, reason: str) -> None:
        """Say what is still to be said, ask the agent to go elsewhere, and end."""


@dataclass(slots=True)
class _Place:
    executing: Lane | None = None
    standing_by: dict[str, Lane] = field(default_factory=dict)


class Lanes:
    """The lanes of this engine; while it is `draining` it takes none."""

    def __init__(self, draining: Draining) -> None:
        self._draining = draining
        self._places: dict[AccountId, _Place] = {}
        self._joined = asyncio.Condition()

    def stand_by(self, lane: Lane) -> None:
        """A lane that has no lease yet; it ends an older one of the same agent that has none either.

        Raises:
            MeshError: SHUTTING_DOWN.
        """
        if self._draining.is_set():
            raise MeshError(Reason.SHUTTING_DOWN, "this engine drains; connect again")
        standing_by = self._places.setdefault(lane.hello.account, _Place()).standing_by
        older = standing_by.get(lane.hello.agent)
        standing_by[lane.hello.agent] = lane
        if older is not None:
            older.end(_replaced(lane))

    async def join(self, lane: Lane) -> None:
        """Put `lane`, which has the lease, in its account's place, ending an older one."""
        place = self._places.setdefault(lane.hello.account, _Place())
        if place.standing_by.get(lane.hello.agent) is lane:  # else a newer stream's
            del place.standing_by[lane.hello.agent]
        older, place.executing = place.executing, lane
        if older is not None:
            older.end(_replaced(lane))
        async with self._joined:
            self._joined.notify_all()

    def leave(self, lane: Lane) -> bool:
        """A lane that ended; False when another one has its place."""
        place = self._places.get(lane.hello.account)
        if place is None:
            return False
        if place.standing_by.get(lane.hello.agent) is lane:
            del place.standing_by[lane.hello.agent]
        held = place.executing is lane
        if held:
            place.executing = None
        if place.executing is None and not place.standing_by:
            del self._places[lane.hello.account]
        return held

    def executing(self, account: AccountId) -> Lane | None:
        """The lane of the agent that executes for the account through this engine."""
        place = self._places.get(account)
        return place.executing if place else None

    def all_executing(self) -> list[Lane]:
        return [place.executing for place in self._places.values() if place.executing]

    def standing_by(self, account: AccountId) -> list[str]:
        """Agents that wait for the account's lease here."""
        place = self._places.get(account)
        return sorted(place.standing_by) if place else []

    async def until_joined(self, account: AccountId) -> None:
        """Returns when an agent of the account executes through this engine."""
        async with self._joined:
            await self._joined.wait_for(lambda: self.executing(account) is not None)

    async def drain(self) -> None:
        """Send every agent elsewhere."""
        async with asyncio.TaskGroup() as tasks:
            for place in list(self._places.values()):
                for lane in [*place.standing_by.values(), *filter(None, [place.executing])]:
                    tasks.create_task(lane.drain("the engine drains"))


def _replaced(lane: Lane) -> MeshError:
    hello = lane.hello
    return MeshError(
        Reason.AGENT_REPLACED, f"agent {hello.agent!r} took over account {hello.account} on a newer stream"
    )
