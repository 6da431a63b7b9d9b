"""The trading engine, put together."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal

import grpc
from nats.aio.client import Client
from suho.trading.v1 import agent_link_pb2_grpc, trading_pb2_grpc

from mesh.bus import open_bus
from mesh.channel import mesh_channel
from mesh.draining import Draining
from mesh.log import get_logger
from mesh.server import MeshServer, instance_of, open_server, serve, service
from mesh.session import open_session
from mesh.waiting import until_available
from services.trading_engine.accounts_everywhere import AccountsEverywhere
from services.trading_engine.agent_lane import LaneTerms
from services.trading_engine.config import EngineSettings
from services.trading_engine.database import Database, DatabaseAwayError
from services.trading_engine.desk import Desk
from services.trading_engine.domain.strategies import STRATEGIES
from services.trading_engine.lanes import Lanes
from services.trading_engine.order_board import OrderBoard
from services.trading_engine.peers import Peers, answering
from services.trading_engine.runner import StrategyRunner, StrategyTerms
from services.trading_engine.servicers.agent_link import AgentLinkServicer
from services.trading_engine.servicers.trading import TradingServicer, answers
from services.trading_engine.standings import Standings
from services.trading_engine.tick_feed import TickFeed
from services.trading_engine.trading_control import TradingControl

log = get_logger(__name__)

PROGRAM = "trading-engine"
DEPENDENCIES = ("database",)
TRADING_SERVICE = "suho.trading.v1.TradingService"
AGENT_LINK_SERVICE = "suho.trading.v1.AgentLinkService"


@dataclass(frozen=True, slots=True)
class Engine:
    """A running engine."""

    server: MeshServer
    desk: Desk
    database: Database


async def main(settings: EngineSettings, stop: asyncio.Event) -> None:
    """Run an engine until `stop`."""
    async with (
        open_bus(settings.nats_url.get_secret_value(), PROGRAM) as bus,
        mesh_channel(settings, PROGRAM, DEPENDENCIES) as channel,
        open_engine(settings, channel, bus) as engine,
        open_session(settings, instance_of(settings, PROGRAM, engine.server, DEPENDENCIES)) as session,
    ):
        await until_available("database", engine.database.accounts, (DatabaseAwayError,))
        log.info("engine is ready", address=f"{settings.host}:{engine.server.port}", strategy=settings.strategy)
        await serve(engine.server, session, stop)


@asynccontextmanager
async def open_engine(settings: EngineSettings, channel: grpc.aio.Channel, bus: Client) -> AsyncIterator[Engine]:
    """An engine that reaches the database over `channel` and other engines over `bus`, until the end of the block."""
    database, draining, others = Database(channel), Draining(), Peers(bus)
    lanes, standings, board = Lanes(draining), Standings(), OrderBoard(database)
    desk = Desk(settings.instance, database, lanes, standings, others)
    accounts = AccountsEverywhere(settings.instance, database, lanes, others)
    async with asyncio.TaskGroup() as tasks:
        control = TradingControl(database, lanes, desk, tasks)
        terms = LaneTerms(settings.instance, settings.lane_valid_ms)
        trading = TradingServicer(settings, desk, control, accounts, database, board, others)
        agent_link = AgentLinkServicer(terms, database, lanes, standings, board, tasks)
        services = [
            service(trading_pb2_grpc.add_TradingServiceServicer_to_server, trading, TRADING_SERVICE),
            service(agent_link_pb2_grpc.add_AgentLinkServiceServicer_to_server, agent_link, AGENT_LINK_SERVICE),
        ]
        running = [tasks.create_task(draining.each_time(lanes.drain), name="drain lanes")]
        if settings.strategy:
            strategy = _run_strategy(settings, database, desk, lanes, accounts, board, bus)
            running.append(tasks.create_task(strategy, name="strategy"))
        async with (
            open_server(settings, services, draining) as server,
            answering(bus, settings.instance, answers(desk, control, accounts), tasks),
        ):
            yield Engine(server, desk, database)
        for task in running:
            task.cancel()


async def _run_strategy(
    settings: EngineSettings,
    database: Database,
    desk: Desk,
    lanes: Lanes,
    accounts: AccountsEverywhere,
    board: OrderBoard,
    bus: Client,
) -> None:
    terms = StrategyTerms(
        name=settings.strategy,
        make=STRATEGIES[settings.strategy],
        account=settings.traded_account,
        volume=Decimal(settings.strategy_volume),
        valid_for_ms=settings.signal_valid_ms,
        pause_s=settings.strategy_pause_s,
    )
    await lanes.until_joined(terms.account)
    async with asyncio.TaskGroup() as tasks:
        runner = StrategyRunner(terms, database, desk, accounts, board, tasks)
        async with TickFeed(terms.account.server, runner.take).listening(bus, settings.strategy_symbols):
            log.info("strategy is on", strategy=terms.name, account=str(terms.account), volume=str(terms.volume))
            await asyncio.Event().wait()
