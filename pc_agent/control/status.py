"""Parts of the agent's status that are told from here: who it is, its accounts, its ledger."""

from collections.abc import Callable, Sequence
from dataclasses import astuple

from suho.agent.v1 import agent_pb2 as pb

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


class AccountsStatus:
    """What each account may do, and where somebody says otherwise."""

    def __init__(self, controls: Callable[[], Sequence[AccountControl]]) -> None:
        self._controls = controls

    async def fill(self, status: pb.AgentStatus) -> None:
        for control in self._controls():
            wanted = control.account
            told = [one for one in status.terminals if (one.account.server, one.account.login) == astuple(wanted)]
            for terminal in told or [status.terminals.add()]:
                control.fill(terminal)


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
