"""The terminals, each with its worker and its account's part, in the agent's status."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from suho.agent.v1 import agent_pb2 as pb

from pc_agent.orders.account_control import AccountControl
from pc_agent.orders.signal_lane import SignalLane
from pc_agent.terminal.pool import TerminalPool
from pc_agent.terminal.worker import TerminalWorker


@dataclass(frozen=True)
class Seat:
    """An account's terminals and its stream; `control` has none before a terminal has answered."""

    pool: TerminalPool
    signals: SignalLane
    control: Callable[[], AccountControl | None]


class TerminalsStatus:
    """Each terminal, and what its account may do and where somebody says otherwise."""

    def __init__(self, seats: Sequence[Seat]) -> None:
        self._seats = seats

    async def fill(self, status: pb.AgentStatus) -> None:
        for seat in self._seats:
            control = seat.control()
            for worker in seat.pool.workers:
                terminal = _of(worker)
                terminal.role = pb.AgentRole.Value(f"AGENT_ROLE_{seat.signals.role}")
                if control is not None:
                    control.fill(terminal)
                status.terminals.append(terminal)


def _of(worker: TerminalWorker) -> pb.TerminalStatus:
    health = worker.seen.health if worker.seen else None
    return pb.TerminalStatus(
        name=worker.name,
        findings=worker.findings(),
        connected=worker.connected,
        worker_pid=worker.pid or 0,
        worker_restarts=worker.restarts,
        ping_ms=health.ping_ms if health else 0,
        retransmission_percent=health.retransmission_percent if health else 0,
        queued_orders=worker.queued_orders,
    )
