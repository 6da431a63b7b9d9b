"""The agent's parts, put together and not running yet: a desk for each account, the tick lanes, market and records."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

import grpc

from mesh.channel import LaneTarget
from mesh.config import SettingsError
from pc_agent.config import AgentSettings
from pc_agent.desk import Desk
from pc_agent.domain.lanes import TICK_LANES, LaneWatch
from pc_agent.domain.news import Impact
from pc_agent.domain.reference import user_id
from pc_agent.file_lock import LockedError
from pc_agent.market.account_market import Markets
from pc_agent.market.monitor import MarketMonitor
from pc_agent.market.news_file import NewsFile
from pc_agent.market.plugins import CollectedSource, open_sources
from pc_agent.orders.confirmations import Confirmations
from pc_agent.orders.ledger import Ledger, open_ledger
from pc_agent.orders.ledger_schema import LedgerFileError
from pc_agent.orders.ledger_upkeep import forget_resolved
from pc_agent.orders.safety_file import KillSwitch, SafetyFile
from pc_agent.settings.keeper import SettingsKeeper
from pc_agent.settings.terminals import pools_of
from pc_agent.store.duckdb_file import StoreMigrationError
from pc_agent.store.observer import Observed, Observer
from pc_agent.store.preferences import LivePreferences
from pc_agent.store.store import Store, open_store
from pc_agent.store.sync import RecordSync
from pc_agent.terminal.worker import TerminalWorker
from pc_agent.ticks.sources import TickSources
from pc_agent.ticks.tick_lane import TickLane
from pc_agent.ticks.tick_lanes import TickLanes
from pc_agent.truth import SafetyState

Dial = Callable[[LaneTarget], AbstractAsyncContextManager[grpc.aio.Channel]]


@dataclass(frozen=True)
class Kept:
    """What stands in the state folder, and is shared by all accounts."""

    ledger: Ledger
    store: Store
    preferences: LivePreferences
    safety: SafetyState
    user: UUID


@dataclass(frozen=True)
class Parts:
    """All that runs."""

    settings: AgentSettings
    keeper: SettingsKeeper
    kept: Kept
    confirmations: Confirmations
    news: NewsFile
    monitor: MarketMonitor
    markets: Markets
    desks: tuple[Desk, ...]
    collected: tuple[CollectedSource, ...]
    sources: TickSources
    lanes: tuple[TickLane, ...]
    ticks: TickLanes
    sync: RecordSync
    observer: Observer

    def missing(self) -> str:
        """What stands between the agent and its work, in words; empty: nothing."""
        return _first([desk.missing() for desk in self.desks]) or self.ticks.missing()

    def finding(self) -> str:
        """What is wrong though the agent does its work, and what to do; empty: nothing."""
        return _first([desk.finding() for desk in self.desks])

    def works(self) -> dict[str, Coroutine[Any, Any, None]]:
        """All that runs beside each other until the agent stops, by name."""
        return {
            **{f"desk {desk.pool.name}": desk.run() for desk in self.desks},
            **{f"tick lane {lane.number}": lane.run() for lane in self.lanes},
            **{f"source {source.name}": source.run() for source in self.collected},
            "tick lanes": self.ticks.run(),
            "look at the terminals": self.observer.run(),
            "records": self.sync.run(),
            "market monitor": self.monitor.run(),
            "calendar of news": self.news.run(),
            "ledger upkeep": forget_resolved(self.kept.ledger, self.settings.ledger_keep_days),
        }

    async def stop(self) -> None:
        """Let the terminals go."""
        async with asyncio.TaskGroup() as tasks:
            for desk in self.desks:
                tasks.create_task(desk.stop())


@asynccontextmanager
async def put_together(settings: AgentSettings, dial: Dial) -> AsyncIterator[Parts]:
    """The parts; what they opened is closed when the block ends.

    Raises:
        SettingsError: another agent uses the state folder, or what stands in it can not be used.
    """
    async with AsyncExitStack() as stack:
        kept = await _open_state(settings, stack)
        keeper = SettingsKeeper(settings)
        settings = keeper.start()
        records = await stack.enter_async_context(dial("agent-records"))
        signals = await stack.enter_async_context(dial("agent-signals"))
        channels = [await stack.enter_async_context(dial("agent-ticks")) for _ in range(TICK_LANES)]
        parts = _parts(settings, keeper, kept, records, signals, channels)
        yield parts
        await parts.observer.leave()
        await parts.sync.part()


async def _open_state(settings: AgentSettings, stack: AsyncExitStack) -> Kept:
    try:
        ledger = stack.enter_context(open_ledger(settings.state_dir))
        store = await stack.enter_async_context(open_store(settings.state_dir))
    except (LockedError, LedgerFileError, StoreMigrationError) as error:
        raise SettingsError(f"setting 'state_dir': {error}") from None
    user = settings.user_id or user_id(settings.instance)
    preferences = LivePreferences(store, user, settings.instance, shared=settings.user_id is not None)
    await preferences.begin()
    safety = SafetyState(KillSwitch(settings.state_dir), SafetyFile(settings.state_dir))
    return Kept(ledger, store, preferences, safety, user)


def _parts(
    settings: AgentSettings,
    keeper: SettingsKeeper,
    kept: Kept,
    records: grpc.aio.Channel,
    signals: grpc.aio.Channel,
    channels: Sequence[grpc.aio.Channel],
) -> Parts:
    live, confirmations = keeper.live, Confirmations()
    news, monitor = NewsFile(settings.news_file), MarketMonitor()
    markets = Markets(monitor, news, Impact[settings.news_least_impact.upper()], lambda: live.now)
    desks = tuple(
        Desk(settings, live, terminals, kept.ledger, kept.safety, kept.preferences, confirmations, markets, signals)
        for terminals in pools_of(settings.terminals)
    )
    collected = open_sources(settings.sources, settings.state_dir)
    sources = TickSources([*(desk.pool for desk in desks), *collected], monitor)
    lanes = tuple(TickLane(number, channel, settings.instance, sources) for number, channel in enumerate(channels, 1))
    watch = LaneWatch(range(1, TICK_LANES + 1), settings.lane_lost_s, settings.lane_back_s, time.monotonic())
    ticks = TickLanes(lanes, sources, settings.instance, settings.history_start_msc(), watch)
    sources.listener = ticks
    sync = RecordSync(records, kept.store, kept.preferences, kept.user, settings.records_sync_s)
    observer = _observer(settings, kept.store, desks)
    return Parts(
        settings,
        keeper,
        kept,
        confirmations,
        news,
        monitor,
        markets,
        desks,
        collected,
        sources,
        lanes,
        ticks,
        sync,
        observer,
    )


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


def _first(sentences: Sequence[str]) -> str:
    """The first that is not empty."""
    return next((sentence for sentence in sentences if sentence), "")
