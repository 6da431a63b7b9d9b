"""Parts of the agent's status: who it is, its ledger, its last errors."""

from collections.abc import Callable, Sequence

from suho.agent.v1 import agent_pb2 as pb

from mesh.log import recent_troubles
from pc_agent.orders.account_control import AccountControl
from pc_agent.orders.ledger import Ledger


class IdentityStatus:
    """Which agent, since when, and what is missing for its work."""

    def __init__(self, agent: str, version: str, started_unix_ms: int, missing: Callable[[], str]) -> None:
        self._agent = agent
        self._version = version
        self._started_unix_ms = started_unix_ms
        self._missing = missing

    async def fill(self, status: pb.AgentStatus) -> None:
        status.agent, status.version = self._agent, self._version
        status.started_unix_ms, status.missing = self._started_unix_ms, self._missing()


class LedgerStatus:
    """What stands in the ledger, and what waits for the engine."""

    def __init__(self, ledger: Ledger, controls: Callable[[], Sequence[AccountControl]]) -> None:
        self._ledger = ledger
        self._controls = controls

    async def fill(self, status: pb.AgentStatus) -> None:
        counts = await self._ledger.counts()
        for state, count in counts.states.items():
            status.ledger.orders[state] = count
        status.ledger.reports_waiting = counts.reports_waiting
        status.ledger.reports_refused = counts.reports_refused
        for control in self._controls():
            status.ledger.deals_waiting += await control.deals_waiting()
            status.ledger.deals_refused.extend(await control.deals_refused())


class TroublesStatus:
    """Warnings and errors of this process, newest first."""

    async def fill(self, status: pb.AgentStatus) -> None:
        for trouble in recent_troubles():
            status.errors.add(at_unix_ms=trouble.at_unix_ms, message=trouble.message)
