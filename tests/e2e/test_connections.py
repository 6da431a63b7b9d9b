"""The agent's five connections, counted and cut from outside."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest
from suho.agent.v1 import agent_pb2
from suho.common.v1 import account_pb2, page_pb2
from suho.trading.v1 import order_pb2, trading_pb2, trading_pb2_grpc

from cli.agent_connection import AgentCalls
from mesh.channel import direct_channel
from pc_agent.control.endpoint import find
from pc_agent.twin.control import deal_count
from tests.support import eventually, free_port
from tests.support.platform import RunningPlatform, lost, run_platform
from tests.support.proxy import cuttable_proxy

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

_FILLED = order_pb2.ORDER_STATE_FILLED
_EVERY_S = 0.05
# What a signal may take beside the reconnect where two cores run everything; to wait for the lease would be 60 s.
_SLACK_S, _LEASE_MS = 10.0, 60_000


class Signals:
    """Sends one after another, whatever happens to the lanes, straight to the engine.

    While no agent is there the engine denies at once: then it is sent again, as the denial says.
    """

    def __init__(self, stub: "trading_pb2_grpc.TradingServiceAsyncStub", account: account_pb2.AccountRef) -> None:
        self._stub = stub
        self._account = account
        # Those that were taken, and when each was wanted.
        self.wanted_ns: dict[str, int] = {}
        self._enough = False
        self._ended = asyncio.Event()

    async def send(self) -> None:
        wanted_ns = time.time_ns()
        while not self._enough:
            signal_id = str(uuid.uuid4())
            request = trading_pb2.SubmitSignalRequest(
                signal_id=signal_id,
                account=self._account,
                kind=order_pb2.ORDER_KIND_MARKET,
                symbol="EURUSD",
                side=order_pb2.ORDER_SIDE_BUY if len(self.wanted_ns) % 2 else order_pb2.ORDER_SIDE_SELL,
                volume="0.01",
                valid_for_ms=_LEASE_MS,
            )
            answer = await self._stub.SubmitSignal(request, timeout=30)
            if answer.order.state == order_pb2.ORDER_STATE_DENIED:
                assert answer.order.reason == "AGENT_NOT_CONNECTED", answer.order.message
                await asyncio.sleep(_EVERY_S / 5)
                continue
            self.wanted_ns[signal_id] = wanted_ns
            await asyncio.sleep(_EVERY_S)
            wanted_ns = time.time_ns()
        self._ended.set()

    async def some_more(self) -> None:
        """Wait until five were taken from now on."""
        before = len(self.wanted_ns)
        await eventually(lambda: len(self.wanted_ns) >= before + 5, 30)

    async def late_s(self) -> list[float]:
        """No more of them; how long each took to the terminal, once all are filled."""
        self._enough = True
        await self._ended.wait()  # one may be on its way
        page = page_pb2.PageRequest(size=500)
        request = trading_pb2.ListOrdersRequest(account=self._account, states=[_FILLED], page=page)
        found: dict[str, order_pb2.Order] = {}

        async def all_filled() -> bool:
            found.update({one.signal_id: one for one in (await self._stub.ListOrders(request, timeout=30)).orders})
            return found.keys() == self.wanted_ns.keys()

        await eventually(all_filled, 30)
        return [(found[one].times.called_unix_ns - wanted) / 1e9 for one, wanted in self.wanted_ns.items()]


@asynccontextmanager
async def signals(platform: RunningPlatform, engine: int) -> AsyncIterator[Signals]:
    async with direct_channel([f"127.0.0.1:{engine}"]) as channel:
        account = account_pb2.AccountRef(server=platform.server, login=1_000_001)
        sender = Signals(trading_pb2_grpc.TradingServiceStub(channel), account)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(sender.send())
            yield sender


async def lane(platform: RunningPlatform, number: int) -> agent_pb2.LaneStatus:
    endpoint = find(platform.state / "agent")
    async with direct_channel([endpoint.address]) as channel:
        agent = AgentCalls(channel, endpoint.token)
        answer: agent_pb2.GetStatusResponse = await agent(agent.stub.GetStatus, agent_pb2.GetStatusRequest())
    return next(one for one in answer.status.lanes if one.number == number)


async def test_five_connections_cut_one_after_another_lose_no_tick_and_delay_no_signal(tmp_path: Path) -> None:
    """Counted from outside: one to the engine, four to the bridge. Ticks stay exact though each is cut; each signal is
    executed once, late by no more than lane 0 was away."""
    bridge, bridge_published = free_port(), free_port()
    engine, engine_published = free_port(), free_port()
    environment = {
        "SUHO_DATA_BRIDGE_PORT": str(bridge),
        "SUHO_DATA_BRIDGE_PUBLISHED_PORT": str(bridge_published),
        "SUHO_TRADING_ENGINE_PORT": str(engine),
        "SUHO_TRADING_ENGINE_PUBLISHED_PORT": str(engine_published),
        "SUHO_TRADING_ENGINE_LANE_VALID_MS": str(_LEASE_MS),
    }
    async with (
        cuttable_proxy(bridge_published, bridge) as ticks,
        cuttable_proxy(engine_published, engine) as orders,
        run_platform(state=tmp_path / "state", environment=environment) as platform,
    ):
        await platform.ready()
        agent = psutil.Process(platform.pid_of("pc-agent") or 0)
        made = [c for c in agent.net_connections("tcp") if c.status == psutil.CONN_ESTABLISHED and c.raddr]
        ports = [c.raddr.port for c in made]
        assert (ports.count(bridge_published), ports.count(engine_published)) == (4, 1)
        async with signals(platform, engine) as sent:
            for _ in range(4):
                before = ticks.accepted
                ticks.cut_one()
                await eventually(lambda before=before: ticks.accepted > before and ticks.connections == 4, 30)
                await sent.some_more()
            cut_ms = time.time_ns() // 1_000_000
            orders.cut(next(c.laddr.port for c in made if c.raddr.port == engine_published))

            async def back() -> bool:
                told = await lane(platform, 0)
                return told.stands and told.reconnects >= 1

            await eventually(back, 30)
            await sent.some_more()
            away_s = ((await lane(platform, 0)).since_unix_ms - cut_ms) / 1000
            late_s = await sent.late_s()
        assert await asyncio.to_thread(deal_count, platform.twin) == len(late_s)
        account = await platform.account()
    assert platform.process.returncode == 0, platform.messages[-4000:]
    assert len(late_s) >= 25
    assert max(late_s) < away_s + _SLACK_S
    assert not any(lost(account).values())
    assert sum(stored.distinct for stored in account.stored.values()) > 0
