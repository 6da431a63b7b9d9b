"""A strategy on ticks from a real bus, its orders through a real lane."""

from collections.abc import Sequence

import pytest
from nats.aio.client import Client
from suho.market.v1 import tick_pb2
from suho.trading.v1 import agent_link_pb2 as link
from suho.trading.v1 import order_pb2
from suho.trading.v1 import trading_pb2 as pb

from compose.embedded.nats import Nats
from mesh.bus import open_bus
from mesh.market import Batch, TickId, codec, subjects
from services.trading_engine.domain.order import AccountId
from services.trading_engine.domain.signal_id import signal_id, strategy_namespace
from tests.integration.services.trading_engine.agent import ACCOUNT, Agent, connected, hello
from tests.integration.services.trading_engine.conftest import DatabaseUnderTest, EngineUnderTest, running_engine
from tests.integration.services.trading_engine.test_positions import position, snapshot, tell
from tests.integration.services.trading_engine.test_trading import wanted
from tests.support import eventually
from tests.unit.services.trading_engine.domain.batches import batch_of

pytestmark = pytest.mark.integration

CALM = [1.1, 1.2] * 10
BUY, SELL = order_pb2.ORDER_SIDE_BUY, order_pb2.ORDER_SIDE_SELL
ON = {"strategy": "bollinger", "strategy_account": "1000001@twin-7", "strategy_pause_s": 0}


class Market:
    """Publishes one symbol's ticks, each batch following on the one before."""

    def __init__(self, bus: Client, symbol: str = "EURUSD") -> None:
        self._bus = bus
        self._symbol = symbol
        self.last = TickId(1_000_000, 0)

    def batch(self, mids: Sequence[float]) -> tick_pb2.TickBatchTwin:
        ticks: Batch = batch_of(mids, start_msc=self.last.time_msc + 1)
        message = tick_pb2.TickBatchTwin(**codec.fields(ticks))
        message.symbol = self._symbol
        message.prev.time_msc, message.prev.ordinal = self.last
        self.last = ticks.last_id
        return message

    async def publish(self, message: tick_pb2.TickBatchTwin) -> None:
        await self._bus.publish(subjects.tick_subject("twin-7", self._symbol), message.SerializeToString())
        await self._bus.flush()

    async def tick(self, *mids: float) -> None:
        await self.publish(self.batch(mids))


async def heard(market: Market, engine: EngineUnderTest, agent: Agent, mids: Sequence[float]) -> None:
    """Tick away, calmly and then outside the bands, until the strategy has sent its first signal."""

    async def sent() -> bool:
        await market.tick(*mids)
        return bool(agent.signals)

    await eventually(sent, interval_s=0.1)


async def test_it_enters_outside_the_bands_and_leaves_at_the_middle(
    database: DatabaseUnderTest, nats_engine: Nats
) -> None:
    """One order at a time, each with the id of its tick; the position that was filled is what is closed."""
    async with (
        open_bus(nats_engine.url, "test") as bus,
        running_engine(database, **ON) as engine,
        connected(engine.channel) as agent,
    ):
        market = Market(bus)
        await heard(market, engine, agent, [*CALM, 0.9])
        entry = agent.signals[0]
        assert (entry.symbol, entry.side, entry.volume) == ("EURUSD", BUY, "0.01")
        # While it is under way nothing else is decided, wherever the price goes.
        await market.tick(*CALM, 1.5, *CALM, 0.9)
        agent.report(entry, "FILLED")
        await eventually(lambda: agent.acknowledged)
        await tell(agent, snapshot(position(7, entry.signal_id, "0.01")))

        async def left() -> bool:
            await market.tick(*CALM)
            return len(agent.signals) == 2

        await eventually(left, interval_s=0.1)
        leave = agent.signals[1]
        assert (leave.side, leave.volume) == (SELL, "0.01")
        agent.report(leave, "FILLED")
        await eventually(lambda: len(agent.acknowledged) == 2)
        orders = (await engine.trading.ListOrders(pb.ListOrdersRequest())).orders
        assert [(order.strategy, order.state) for order in orders] == [("bollinger", order_pb2.ORDER_STATE_FILLED)] * 2
        namespace = strategy_namespace("bollinger", AccountId(ACCOUNT.server, ACCOUNT.login))
        ids = {signal_id(namespace, "EURUSD", TickId(msc, 0), 0) for msc in range(1_000_000, market.last.time_msc + 1)}
        assert {order.signal_id for order in orders} <= ids


async def test_a_restarted_engine_closes_what_its_predecessor_opened(
    database: DatabaseUnderTest, nats_engine: Nats
) -> None:
    """The position is the account's to know, not the engine's memory."""
    async with open_bus(nats_engine.url, "test") as bus:
        market = Market(bus)
        async with (
            running_engine(database, **ON) as engine,
            connected(engine.channel) as agent,
        ):
            await heard(market, engine, agent, [*CALM, 1.5])
            epoch = agent.signals[0].epoch
        async with (
            running_engine(database, **ON) as engine,
            connected(engine.channel) as agent,
        ):
            entry = (await agent.until_signals(1))[0]
            assert (entry.side, entry.redelivered, entry.epoch) == (SELL, False, epoch)
            agent.report(entry, "FILLED")
            held = position(7, entry.signal_id, "0.01")
            held.side = SELL
            await tell(agent, snapshot(held))

            async def left() -> bool:
                await market.tick(*CALM)
                return len(agent.signals) == 2

            await eventually(left, interval_s=0.1)
            assert (agent.signals[1].side, agent.signals[1].volume) == (BUY, "0.01")


async def test_a_strategy_closes_by_ticket_what_an_agent_at_another_engine_shows(
    database: DatabaseUnderTest, nats_engine: Nats
) -> None:
    """The agent moved on; until it shows a position again nothing is sent: an order of the other side would be a second
    one."""
    async with (
        open_bus(nats_engine.url, "test") as bus,
        running_engine(database, lane_valid_ms=600, **ON) as one,
        running_engine(database, instance="engine-2", lane_valid_ms=600) as two,
    ):
        market = Market(bus)
        async with connected(one.channel, hello(hedging=True)) as agent:
            await heard(market, one, agent, [*CALM, 0.9])
            entry = agent.signals[0]
            agent.report(entry, "FILLED", ticket=7)
            await eventually(lambda: agent.acknowledged)
        async with connected(two.channel, hello(hedging=True, epoch=entry.epoch, last_seq=1)) as agent:
            await market.tick(*CALM)
            await tell(agent, snapshot(position(7, entry.signal_id, "0.01")))
            await heard(market, one, agent, CALM)
            (leave,) = agent.signals
            assert (leave.kind, leave.position, leave.volume) == (order_pb2.ORDER_KIND_CLOSE, 7, "0.01")


async def test_a_strategy_closes_its_own_position_and_is_freed_by_a_stop(
    database: DatabaseUnderTest, nats_engine: Nats
) -> None:
    """Where positions stand beside each other it closes its own by ticket, nobody else's; and when a stop was met
    instead, it holds nothing and may enter again."""
    async with (
        open_bus(nats_engine.url, "test") as bus,
        running_engine(database, **ON) as engine,
        connected(engine.channel, hello(hedging=True)) as agent,
    ):
        market = Market(bus)
        await heard(market, engine, agent, [*CALM, 0.9])
        agent.report(agent.signals[0], "FILLED", ticket=7)
        await engine.trading.SubmitSignal(wanted("person"))
        agent.report((await agent.until_signals(2))[1], "FILLED", ticket=8, deal=80)
        await eventually(lambda: len(agent.acknowledged) == 2)
        await tell(agent, snapshot(position(8, "person"), position(7, agent.signals[0].signal_id, "0.01")))

        async def behind(before: int, mids: Sequence[float]) -> link.Signal:
            async def sent() -> bool:
                await market.tick(*mids)
                return len(agent.signals) > before

            await eventually(sent, interval_s=0.1)
            return agent.signals[before]

        close = await behind(2, CALM)
        assert (close.kind, close.position, close.side, close.volume) == (order_pb2.ORDER_KIND_CLOSE, 7, SELL, "0.01")
        stop = order_pb2.ExternalDeal(
            deal=90, position=7, symbol="EURUSD", side=SELL, volume="0.01",
            cause=order_pb2.DEAL_CAUSE_STOP_LOSS, signal_id=agent.signals[0].signal_id,
        )  # fmt: skip
        agent.send(deals=link.ExternalDeals(deals=[stop]))
        await eventually(lambda: agent.deals)
        agent.report(close, "REJECTED")
        entry = await behind(3, [*CALM, 0.9])
        assert (entry.kind, entry.side) == (order_pb2.ORDER_KIND_MARKET, BUY)
