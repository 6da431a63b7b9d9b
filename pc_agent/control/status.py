"""Parts of the agent's status: who it is, its ledger, what waits for the person, its last errors."""

from collections.abc import Callable, Sequence

from suho.agent.v1 import agent_pb2 as pb
from suho.common.v1 import account_pb2

from mesh.log import recent_troubles
from pc_agent.domain.orders import Account
from pc_agent.orders.account_control import AccountControl
from pc_agent.orders.confirmations import Confirmations, Question, sentence
from pc_agent.orders.ledger import Ledger

_MOST_QUESTIONS = 100


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


class ConfirmationsStatus:
    """What waits for the person's word."""

    def __init__(self, confirmations: Confirmations) -> None:
        self._confirmations = confirmations

    async def fill(self, status: pb.AgentStatus) -> None:
        status.confirmations.extend(questions(self._confirmations.waiting[:_MOST_QUESTIONS]))


class TroublesStatus:
    """Warnings and errors of this process, newest first."""

    async def fill(self, status: pb.AgentStatus) -> None:
        for trouble in recent_troubles():
            status.errors.add(at_unix_ms=trouble.at_unix_ms, message=trouble.message, times=trouble.times)


def questions(waiting: Sequence[Question]) -> list[pb.Confirmation]:
    return [
        pb.Confirmation(
            signal_id=one.signal.signal_id,
            account=account_ref(one.signal.account),
            sentence=sentence(one.signal),
            until_unix_ms=one.until_unix_ms,
        )
        for one in waiting
    ]


def account_ref(account: Account) -> account_pb2.AccountRef:
    return account_pb2.AccountRef(server=account.server, login=account.login)
