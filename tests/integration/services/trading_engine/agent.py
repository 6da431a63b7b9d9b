"""An agent that does what a test tells it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from suho.common.v1 import account_pb2
from suho.trading.v1 import agent_link_pb2 as link
from suho.trading.v1 import agent_link_pb2_grpc, order_pb2

from tests.support import eventually

ACCOUNT = account_pb2.AccountRef(server="twin-7", login=1000001)
SYMBOLS = [
    order_pb2.SymbolSpec(
        symbol=symbol, digits=5, volume_min="0.01", volume_max="10", volume_step="0.01", contract_size="100000"
    )
    for symbol in ("EURUSD", "XAUUSD")
]


@dataclass
class Agent:
    """One lane, and what came down it."""

    outgoing: "asyncio.Queue[link.StreamSignalsRequest | None]" = field(default_factory=asyncio.Queue)
    joined: link.Joined | None = None
    signals: list[link.Signal] = field(default_factory=list)
    acknowledged: list[str] = field(default_factory=list)
    clocks: list[link.ClockReply] = field(default_factory=list)
    refused: list[link.RefusedReport] = field(default_factory=list)
    standby: list[str] = field(default_factory=list)
    states: list[link.TradingStateChange] = field(default_factory=list)
    deals: list[int] = field(default_factory=list)
    refused_deals: list[link.RefusedDeal] = field(default_factory=list)
    exposures: list[dict[str, str]] = field(default_factory=list)
    call: Any = None
    drained: bool = False
    ended: grpc.StatusCode | None = None
    error: grpc.aio.AioRpcError | None = None

    def cut(self) -> None:
        """As when the network is gone."""
        assert self.call is not None
        self.call.cancel()

    def send(self, **kind: object) -> None:
        self.outgoing.put_nowait(link.StreamSignalsRequest(**kind))  # type: ignore[arg-type]

    def report(self, signal: link.Signal, state: str, **other: object) -> str:
        """Say what became of a signal; the report's id."""
        report = report_of(signal, state, **other)
        self.send(reports=link.ExecutionReports(reports=[report]))
        return report.report_id

    async def until_signals(self, count: int) -> list[link.Signal]:
        await eventually(lambda: len(self.signals) >= count)
        return self.signals

    def take(self, response: link.StreamSignalsResponse) -> None:
        match response.WhichOneof("kind"):
            case "joined":
                self.joined = response.joined
            case "signals":
                assert 1 <= len(response.signals.signals) <= 100
                self.signals += response.signals.signals
            case "report_acks":
                self.acknowledged += response.report_acks.report_ids
                self.refused += response.report_acks.refused
            case "standby":
                self.standby.append(response.standby.agent)
            case "trading_state":
                self.states.append(response.trading_state)
            case "deal_acks":
                self.deals += response.deal_acks.deals
                self.refused_deals += response.deal_acks.refused
            case "exposures":
                self.exposures.append({item.symbol: item.net_volume for item in response.exposures.exposures})
            case "clock":
                self.clocks.append(response.clock)
            case "drain":
                self.drained = True


def report_of(signal: link.Signal, state: str, **other: object) -> order_pb2.ExecutionReport:
    """What became of a signal."""
    filled: dict[str, object] = {}
    if state == "FILLED":
        filled = {"filled_volume": signal.volume, "filled_price": "1.10000", "ticket": 7, "deal": 8, "retcode": 10009}
    return order_pb2.ExecutionReport(
        report_id=f"{signal.signal_id}/{state}",
        signal_id=signal.signal_id,
        account=signal.account,
        state=order_pb2.OrderState.Value(f"ORDER_STATE_{state}"),
        **{**filled, **other},  # type: ignore[arg-type]
    )


def hello(
    agent: str = "pc-1",
    epoch: int = 0,
    last_seq: int = 0,
    trade_mode: str = "DEMO",
    ledger: str = "ledger-1",
    hedging: bool = False,
) -> link.AgentHello:
    return link.AgentHello(
        ledger=ledger,
        margin_mode=link.MARGIN_MODE_HEDGING if hedging else link.MARGIN_MODE_NETTING,
        agent=agent,
        account=ACCOUNT,
        trade_mode=order_pb2.TradeMode.Value(f"TRADE_MODE_{trade_mode}"),
        symbols=SYMBOLS,
        epoch=epoch,
        last_seq=last_seq,
    )


@asynccontextmanager
async def connected(
    channel: grpc.aio.Channel, greeting: link.AgentHello | None = None, *, wait: bool = True
) -> AsyncIterator[Agent]:
    """An agent on a stream of its own; `wait`: until it has joined."""
    agent = Agent()
    agent.send(hello=greeting or hello())

    async def requests() -> AsyncIterator[link.StreamSignalsRequest]:
        while (request := await agent.outgoing.get()) is not None:
            yield request

    call = agent_link_pb2_grpc.AgentLinkServiceStub(channel).StreamSignals(requests())

    agent.call = call

    async def read() -> None:
        try:
            async for response in call:
                agent.take(response)
        except grpc.aio.AioRpcError as error:
            agent.error = error
        except asyncio.CancelledError:
            if not call.cancelled():
                raise
        agent.ended = await call.code()

    async with asyncio.TaskGroup() as tasks:
        reader = tasks.create_task(read())
        if wait:
            await eventually(lambda: agent.joined or agent.ended)
        yield agent
        reader.cancel()
        call.cancel()
