"""Puts the agent together: a desk for each account, four tick lanes, the ledger, a session with a hub."""

import asyncio
import os
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from functools import partial
from importlib.metadata import version

import grpc
from suho.agent.v1 import agent_pb2_grpc, store_pb2_grpc
from suho.hub.v1 import registry_pb2 as hub

from mesh.channel import LaneTarget, lane_channel
from mesh.clock import unix_ms
from mesh.config import SettingsError
from mesh.configuration import ConfigWatch
from mesh.log import get_logger
from mesh.server import Service, service
from mesh.session import HubSession, open_session
from pc_agent.config import AgentSettings
from pc_agent.control.lane_status import LanesStatus, SymbolsStatus
from pc_agent.control.server import open_control
from pc_agent.control.servicer import AgentServicer, StatusSource
from pc_agent.control.status import IdentityStatus, LedgerStatus, TroublesStatus
from pc_agent.control.store_servicer import StoreServicer
from pc_agent.control.terminal_status import Seat, TerminalsStatus
from pc_agent.desk import Desk
from pc_agent.domain.lanes import TICK_LANES, LaneWatch
from pc_agent.domain.news import Impact
from pc_agent.domain.reference import user_id
from pc_agent.domain.symbols import SymbolFacts
from pc_agent.file_lock import LockedError
from pc_agent.market.account_market import Markets
from pc_agent.market.monitor import MarketMonitor
from pc_agent.market.news_file import NewsFile
from pc_agent.market.status import MarketStatus
from pc_agent.orders.account_control import AccountControl
from pc_agent.orders.confirmations import Confirmations
from pc_agent.orders.ledger import Ledger, open_ledger
from pc_agent.orders.ledger_upkeep import forget_resolved
from pc_agent.orders.safety_file import KillSwitch, SafetyFile
from pc_agent.settings.keeper import KeptByMesh, SettingsKeeper
from pc_agent.settings.status import SettingsStatus
from pc_agent.settings.terminals import pools_of
from pc_agent.store.duckdb_file import StoreMigrationError
from pc_agent.store.observer import Observed, Observer
from pc_agent.store.preferences import LivePreferences
from pc_agent.store.store import Store, open_store
from pc_agent.store.sync import RecordSync
from pc_agent.terminal.worker import TerminalWorker
from pc_agent.ticks.sources import Place, TickSources
from pc_agent.ticks.tick_lane import TickLane
from pc_agent.ticks.tick_lanes import TickLanes
from pc_agent.truth import SafetyState

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
        kept = ConfigWatch(session, PROGRAM, settings.instance)
        agent = Agent(settings, partial(lane_channel, settings, PROGRAM), kept)
        async with asyncio.TaskGroup() as tasks:
            beside = (
                tasks.create_task(_tell_status(session, agent), name="status"),
                tasks.create_task(kept.run(), name="follow the configuration"),
            )
            await agent.run(stop)
            for task in beside:
                task.cancel()


class Agent:
    """The composition; `dial` opens the channels of the lanes, `mesh` keeps settings for it."""

    def __init__(self, settings: AgentSettings, dial: Dial, mesh: KeptByMesh | None = None) -> None:
        self._settings = settings
        self._dial = dial
        self._mesh = mesh
        self._missing: Callable[[], str] = lambda: "starting"
        self._finding: Callable[[], str] = lambda: ""

    def missing(self) -> str:
        """What stands between the agent and its work, in words; empty: nothing."""
        return self._missing()

    def finding(self) -> str:
        """What is wrong though the agent does its work, and what to do; empty: nothing."""
        return self._finding()

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop`.

        Raises:
            SettingsError: another agent uses the state folder.
        """
        settings = self._settings
        async with AsyncExitStack() as stack:
            try:
                ledger = stack.enter_context(open_ledger(settings.state_dir))
                store = await stack.enter_async_context(open_store(settings.state_dir))
            except (LockedError, StoreMigrationError) as error:
                raise SettingsError(f"setting 'state_dir': {error}") from None
            keeper = SettingsKeeper(settings)
            settings, live = keeper.start(), keeper.live
            user = settings.user_id or user_id(settings.instance)
            preferences = LivePreferences(store, user, settings.instance)
            await preferences.begin()
            records = await stack.enter_async_context(self._dial("agent-records"))
            sync = RecordSync(records, store, preferences, user, settings.records_sync_s)
            channel = await stack.enter_async_context(self._dial("agent-signals"))
            confirmations = Confirmations()
            safety = SafetyState(KillSwitch(settings.state_dir), SafetyFile(settings.state_dir))
            news, monitor = NewsFile(settings.news_file), MarketMonitor()
            markets = Markets(monitor, news, Impact[settings.news_least_impact.upper()], lambda: live.now)
            desks = [
                Desk(settings, live, terminals, ledger, safety, preferences, confirmations, markets, channel)
                for terminals in pools_of(settings.terminals)
            ]
            sources = TickSources([desk.pool for desk in desks], monitor)
            lanes = [
                TickLane(number, await stack.enter_async_context(self._dial("agent-ticks")), settings.instance, sources)
                for number in range(1, TICK_LANES + 1)
            ]
            ticks = TickLanes(lanes, sources, settings.instance, settings.history_start_msc(), _watch(settings))
            sources.listener = ticks
            self._missing = lambda: _first(desk.missing() for desk in desks) or ticks.missing()
            self._finding = lambda: _first(desk.finding() for desk in desks)
            shown = MarketStatus(sources, markets, partial(_facts_of, desks))
            services = _services(
                settings, keeper, ledger, desks, confirmations, safety.switch, self.missing, ticks, shown
            )
            services.append(_store_service(store, preferences))
            await stack.enter_async_context(
                open_control(settings.instance, settings.state_dir, settings.control_port, services)
            )
            observer = _observer(settings, store, desks)
            async with asyncio.TaskGroup() as tasks:
                works = [
                    tasks.create_task(_work(desks, lanes, ticks)),
                    tasks.create_task(observer.run(), name="look at the terminals"),
                    tasks.create_task(sync.run(), name="records"),
                    tasks.create_task(monitor.run(), name="market monitor"),
                    tasks.create_task(news.run(), name="calendar of news"),
                    tasks.create_task(forget_resolved(ledger, settings.ledger_keep_days), name="ledger upkeep"),
                ]
                if self._mesh is not None:
                    works.append(tasks.create_task(keeper.run(self._mesh), name="settings"))
                await stop.wait()
                async with asyncio.TaskGroup() as stopping:
                    for desk in desks:
                        stopping.create_task(desk.stop())
                for work in works:
                    work.cancel()
            await observer.leave()
            await sync.part()


def _services(
    settings: AgentSettings,
    keeper: SettingsKeeper,
    ledger: Ledger,
    desks: Sequence[Desk],
    confirmations: Confirmations,
    switch: KillSwitch,
    missing: Callable[[], str],
    ticks: TickLanes,
    shown: MarketStatus,
) -> list[Service]:
    """For the person at the PC."""

    def controls() -> list[AccountControl]:
        return [desk.truth.control for desk in desks if desk.truth]

    sources: list[StatusSource] = [
        IdentityStatus(settings.instance, version("suho"), unix_ms(), missing),
        LanesStatus([desk.signals for desk in desks], ticks),
        TerminalsStatus([Seat(desk.pool, desk.signals, partial(_control, desk)) for desk in desks]),
        SymbolsStatus(ticks),
        shown,
        LedgerStatus(ledger, controls),
        TroublesStatus(),
        SettingsStatus(keeper),
    ]
    agent = AgentServicer(controls, sources, confirmations, switch)
    return [service(agent_pb2_grpc.add_AgentServiceServicer_to_server, agent, "suho.agent.v1.AgentService")]


def _control(desk: Desk) -> AccountControl | None:
    return desk.truth.control if desk.truth else None


def _facts_of(desks: Sequence[Desk], place: Place) -> SymbolFacts | None:
    server, symbol = place
    return next((desk.pool.symbols[symbol] for desk in desks
                 if desk.pool.server == server and symbol in desk.pool.symbols), None)  # fmt: skip


def _store_service(store: Store, preferences: LivePreferences) -> Service:
    """For the person at the PC too."""
    servicer = StoreServicer(store, preferences, "person")
    return service(store_pb2_grpc.add_StoreServiceServicer_to_server, servicer, "suho.agent.v1.StoreService")


def _watch(settings: AgentSettings) -> LaneWatch:
    lanes = range(1, TICK_LANES + 1)
    return LaneWatch(lanes, settings.lane_lost_s, settings.lane_back_s, time.monotonic())


async def _work(desks: Sequence[Desk], lanes: Sequence[TickLane], ticks: TickLanes) -> None:
    async with asyncio.TaskGroup() as tasks:
        for lane in lanes:
            tasks.create_task(lane.run(), name=f"tick lane {lane.number}")
        tasks.create_task(ticks.run(), name="tick lanes")
        for desk in desks:
            tasks.create_task(desk.run(), name=f"desk {desk.pool.name}")


def _observer(settings: AgentSettings, store: Store, desks: Sequence[Desk]) -> Observer:
    named = {one.name: one for one in settings.terminals}

    def observed(desk: Desk, worker: TerminalWorker) -> Observed:
        limits = named[worker.name]
        commission = partial(_commission, desk)
        return Observed(worker, limits.cpu_limit_percent, limits.memory_limit_mb, commission)

    terminals = [observed(desk, worker) for desk in desks for worker in desk.pool.workers]
    return Observer(settings.instance, store, terminals)


def _commission(desk: Desk) -> float | None:
    return desk.truth.books.commission_per_lot if desk.truth else None


def _first(sentences: Iterable[str]) -> str:
    """The first that is not empty."""
    return next((sentence for sentence in sentences if sentence), "")


async def _tell_status(session: HubSession, agent: Agent) -> None:
    """UP while nothing is missing, with what hinders; an interruption is told once it lasts."""
    told, whole_at = "", -_PATIENCE_S
    while True:
        missing, now = agent.missing(), time.monotonic()
        if not missing:
            whole_at = now
            finding = agent.finding()
            if told != f"up {finding}":
                told = f"up {finding}"
                log.info("ready", but=finding or None)
                await session.set_status(hub.INSTANCE_STATUS_UP, finding)
        elif missing != told and now - whole_at > _PATIENCE_S:
            status = hub.INSTANCE_STATUS_DOWN if whole_at > 0 else hub.INSTANCE_STATUS_STARTING
            told = missing
            log.info("not ready", missing=missing)
            await session.set_status(status, missing)
        await asyncio.sleep(_LOOK_S)
