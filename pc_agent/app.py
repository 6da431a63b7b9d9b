"""Puts the agent together: one terminal, four tick lanes, lane 0, the ledger, a session with a hub."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from functools import partial

import grpc
from suho.hub.v1 import registry_pb2 as hub

from mesh.channel import LaneTarget, lane_channel
from mesh.config import SettingsError
from mesh.log import get_logger
from mesh.session import HubSession, open_session
from pc_agent.config import AgentSettings
from pc_agent.domain.lanes import TICK_LANES, LaneWatch
from pc_agent.domain.orders import Account
from pc_agent.domain.server_clock import Lease, ServerClock
from pc_agent.domain.signal_sequence import SignalSequence
from pc_agent.file_lock import LockedError
from pc_agent.orders.execution import Execution, Permission
from pc_agent.orders.ledger import Ledger, open_ledger
from pc_agent.orders.reconciler import Reconciler
from pc_agent.orders.signal_lane import SignalLane
from pc_agent.terminal.messages import Connected, WorkerTerms
from pc_agent.terminal.worker import TerminalWorker
from pc_agent.ticks.tick_lane import TickLane
from pc_agent.ticks.tick_lanes import TickLanes

log = get_logger(__name__)

PROGRAM = "pc-agent"
_LOOK_S = 0.1
# A lane that comes back within this time was never away, as the hub sees it.
_PATIENCE_S = 3.0

Dial = Callable[[LaneTarget], AbstractAsyncContextManager[grpc.aio.Channel]]


async def main(settings: AgentSettings, stop: asyncio.Event) -> None:
    """Run until `stop`, registered with a hub."""
    instance = hub.Instance(
        id=settings.instance,
        service=PROGRAM,
        dependencies=["data-bridge", "trading-engine"],
        zone=settings.zone,
        process_id=os.getpid(),
    )
    async with open_session(settings, instance) as session:
        agent = Agent(settings, partial(lane_channel, settings, PROGRAM))
        async with asyncio.TaskGroup() as tasks:
            teller = tasks.create_task(_tell_status(session, agent), name="status")
            await agent.run(stop)
            teller.cancel()


class Agent:
    """The composition; `dial` opens the channels of the lanes."""

    def __init__(self, settings: AgentSettings, dial: Dial) -> None:
        self._settings = settings
        self._dial = dial
        self._missing: Callable[[], str] = lambda: "starting"

    def missing(self) -> str:
        """What stands between the agent and its work, in words; empty: nothing."""
        return self._missing()

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop`.

        Raises:
            SettingsError: another agent uses the state folder.
        """
        async with AsyncExitStack() as stack:
            try:
                ledger = stack.enter_context(open_ledger(self._settings.state_dir))
            except LockedError as error:
                raise SettingsError(f"setting 'state_dir': {error}") from None
            agent = self._settings.instance
            terminal = TerminalWorker(_terms(self._settings), self._settings.worker_hang_s)
            lanes = [
                TickLane(number, await stack.enter_async_context(self._dial("agent-ticks")), agent, terminal)
                for number in range(1, TICK_LANES + 1)
            ]
            clock, lease = ServerClock(), Lease()
            channel = await stack.enter_async_context(self._dial("agent-signals"))
            signals = SignalLane(channel, agent, ledger, clock, lease)
            ticks = TickLanes(lanes, terminal, agent, self._settings.history_start_msc(), self._watch())
            terminal.listener = ticks
            self._missing = lambda: _missing(terminal, ticks, signals)
            trade = partial(self._trade, ledger, terminal, signals, clock, lease)
            async with asyncio.TaskGroup() as tasks:
                work = tasks.create_task(self._work(terminal, lanes, ticks, trade))
                await stop.wait()
                await terminal.stop()
                work.cancel()

    async def _work(
        self,
        terminal: TerminalWorker,
        lanes: list[TickLane],
        ticks: TickLanes,
        trade: Callable[[Connected, asyncio.TaskGroup], Awaitable[None]],
    ) -> None:
        """The tick lanes stand from the start; lane 0 must say whose account it is."""
        async with asyncio.TaskGroup() as tasks:
            for lane in lanes:
                tasks.create_task(lane.run(), name=f"tick lane {lane.number}")
            tasks.create_task(ticks.run(), name="tick lanes")
            tasks.create_task(terminal.run(), name="terminal")
            await trade(await terminal.first_facts(), tasks)

    def _watch(self) -> LaneWatch:
        lanes = range(1, TICK_LANES + 1)
        return LaneWatch(lanes, self._settings.lane_lost_s, self._settings.lane_back_s, time.monotonic())

    async def _trade(
        self,
        ledger: Ledger,
        terminal: TerminalWorker,
        signals: SignalLane,
        clock: ServerClock,
        lease: Lease,
        facts: Connected,
        tasks: asyncio.TaskGroup,
    ) -> None:
        account = Account(facts.account.server, facts.account.login)
        sequence = SignalSequence(account, *await ledger.last_seq(account))
        reconciler = Reconciler(ledger, terminal, clock, self._settings.reconcile_after_s, signals.tell)
        permission = Permission(terminal, clock, lease)
        execution = Execution(account, terminal.symbols, ledger, terminal, permission, reconciler, signals.tell)
        tasks.create_task(reconciler.run(), name="reconciler")
        tasks.create_task(execution.run(), name="execution")
        tasks.create_task(signals.run(lambda: terminal.facts or facts, sequence, execution), name="lane 0")


def _terms(settings: AgentSettings) -> WorkerTerms:
    return WorkerTerms(
        instance=settings.instance,
        log_level=settings.log_level,
        log_format=settings.log_format,
        terminal_module=settings.terminal_module,
        terminal_path=settings.terminal_path,
        login=settings.login,
        server=settings.server,
        password_file=settings.password_file,
        symbols=settings.symbols,
        symbols_look_s=settings.symbols_look_s,
        lock_file=settings.state_dir / "terminal.lock",
        idle_ms=settings.idle_ms,
        deviation_points=settings.deviation_points,
        agent_pid=os.getpid(),
    )


def _missing(terminal: TerminalWorker, ticks: TickLanes, signals: SignalLane) -> str:
    if terminal.facts is None:
        return "the terminal has not answered yet"
    if not terminal.connected:
        return "the terminal is away"
    return ticks.missing() or ("" if signals.stands else "lane 0 has no engine")


async def _tell_status(session: HubSession, agent: Agent) -> None:
    """UP while nothing is missing; an interruption is told once it lasts."""
    told, whole_at = "", -_PATIENCE_S
    while True:
        missing, now = agent.missing(), time.monotonic()
        if not missing:
            whole_at = now
            if told != "up":
                told = "up"
                log.info("ready")
                await session.set_status(hub.INSTANCE_STATUS_UP)
        elif missing != told and now - whole_at > _PATIENCE_S:
            status = hub.INSTANCE_STATUS_DOWN if whole_at > 0 else hub.INSTANCE_STATUS_STARTING
            told = missing
            log.info("not ready", missing=missing)
            await session.set_status(status, missing)
        await asyncio.sleep(_LOOK_S)
