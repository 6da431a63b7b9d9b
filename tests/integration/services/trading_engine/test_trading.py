"""People's signals: decided, committed, watched."""

import asyncio
from collections.abc import Awaitable
from decimal import Decimal

import grpc
import pytest
from suho.common.v1 import account_pb2, page_pb2
from suho.trading.v1 import agent_link_pb2 as link
from suho.trading.v1 import order_pb2
from suho.trading.v1 import trading_pb2 as pb

from mesh.clock import unix_ms
from mesh.errors import MeshError, Reason
from services.trading_engine.domain.order import AccountId, Intent, Side
from services.trading_engine.messages import order_of
from services.trading_engine.standings import Standing
from tests.integration.services.trading_engine.agent import ACCOUNT, connected, hello, report_of
from tests.integration.services.trading_engine.conftest import DatabaseUnderTest, EngineUnderTest, running_engine
from tests.support import eventually

pytestmark = pytest.mark.integration

TRADED = AccountId(ACCOUNT.server, ACCOUNT.login)
BUY, SELL = order_pb2.ORDER_SIDE_BUY, order_pb2.ORDER_SIDE_SELL
MARKET = order_pb2.ORDER_KIND_MARKET
S = order_pb2.OrderState


def wanted(signal_id: str, **other: object) -> pb.SubmitSignalRequest:
    fields = {"account": ACCOUNT, "kind": MARKET, "symbol": "EURUSD", "side": BUY, "volume": "0.10", **other}
    return pb.SubmitSignalRequest(signal_id=signal_id, **fields)  # type: ignore[arg-type]


async def refused(call: Awaitable[object]) -> MeshError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return MeshError.of(caught.value)


async def test_a_signal_is_executed_and_its_order_is_filled(engine: EngineUnderTest) -> None:
    """Submitted, handed down, reported and acknowledged; whoever watches sees each state and the end."""
    async with connected(engine.channel) as agent:
        before_ms = unix_ms()
        submitted = await engine.trading.SubmitSignal(wanted("s1", stop_loss="1.0", take_profit="1.2"))
        after_ms = unix_ms()
        assert (submitted.order.state, submitted.order.seq, submitted.duplicate) == (S.ORDER_STATE_PENDING, 1, False)
        (signal,) = await agent.until_signals(1)
        assert (signal.signal_id, signal.seq, signal.symbol, signal.side) == ("s1", 1, "EURUSD", BUY)
        assert (signal.volume, signal.stop_loss, signal.take_profit) == ("0.10", "1.0", "1.2")
        assert not signal.void
        assert not signal.redelivered
        assert agent.joined is not None
        assert signal.epoch == agent.joined.epoch
        assert signal.not_after_unix_ms == submitted.order.not_after_unix_ms
        decided_ms, committed_ms = signal.not_after_unix_ms - 5_000, signal.committed_unix_ns // 1_000_000
        assert before_ms <= decided_ms <= committed_ms <= after_ms

        watch = engine.trading.WatchOrder(pb.WatchOrderRequest(signal_id="s1"))
        states = [(await anext(aiter(watch))).order.state]
        agent.report(signal, "ACCEPTED")
        states.append((await anext(aiter(watch))).order.state)
        report_id = agent.report(signal, "FILLED")
        orders = [response.order async for response in watch]
        states += [order.state for order in orders]
        assert states == [S.ORDER_STATE_PENDING, S.ORDER_STATE_ACCEPTED, S.ORDER_STATE_FILLED]
        assert (orders[-1].ticket, orders[-1].filled_price, orders[-1].filled_volume) == (7, "1.10000", "0.10")
        await eventually(lambda: report_id in agent.acknowledged)
        stats = await engine.trading.GetTradingStats(pb.GetTradingStatsRequest())
        assert {(item.state, item.count) for item in stats.orders} == {(S.ORDER_STATE_FILLED, 1)}


async def test_what_is_known_of_an_account_is_what_the_database_has(engine: EngineUnderTest) -> None:
    """After commits and after reports: nobody asks the database again."""
    database, known = engine.engine.database, Standing()
    async with connected(engine.channel) as agent:
        known.learn(await database.account(TRADED))
        assert known.newest is not None
        for number, symbol in enumerate(("EURUSD", "EURUSD", "GBPUSD")):
            intent = Intent(f"s{number}", TRADED, symbol, Side.BUY, Decimal("0.1"), None, None, "a", 1, 2**53)
            order, _ = await database.commit(order_of(intent, None), known.newest.revision)
            known.committed(order)
            assert known.newest == await database.account(TRADED)
        first, *_ = await agent.until_signals(3)
        reports = [report_of(first, "ACCEPTED"), report_of(first, "FILLED")]
        _, after = await database.record(reports)
        assert after == await database.account(TRADED)
        assert after.exposures[0].net_volume == "0.1"


async def test_the_same_signal_twice_is_one_order(engine: EngineUnderTest) -> None:
    """The second answer is the first order as it now stands; another content under the id is refused."""
    async with connected(engine.channel) as agent:
        answers = await asyncio.gather(*(engine.trading.SubmitSignal(wanted("s1")) for _ in range(10)))
        assert sorted(answer.duplicate for answer in answers) == [False] + [True] * 9
        assert {answer.order.seq for answer in answers} == {1}
        await engine.trading.SubmitSignal(wanted("s2"))
        assert [signal.signal_id for signal in await agent.until_signals(2)] == ["s1", "s2"]
        error = await refused(engine.trading.SubmitSignal(wanted("s1", volume="0.20")))
        assert error.reason is Reason.SIGNAL_ID_REUSED


async def test_a_denied_signal_is_an_order_with_its_reason(engine: EngineUnderTest) -> None:
    """A denial is an answer, is stored, and never reaches the agent."""
    async with connected(engine.channel) as agent:
        denied = await engine.trading.SubmitSignal(wanted("s1", symbol="GBPUSD"))
        assert (denied.order.state, denied.order.reason, denied.order.seq) == (
            S.ORDER_STATE_DENIED,
            "UNKNOWN_SYMBOL",
            0,
        )
        again = await engine.trading.SubmitSignal(wanted("s1", symbol="GBPUSD"))
        assert again.duplicate
        assert again.order == denied.order
        await engine.trading.SubmitSignal(wanted("s2"))
        assert [signal.signal_id for signal in await agent.until_signals(1)] == ["s2"]
        watched = [r.order async for r in engine.trading.WatchOrder(pb.WatchOrderRequest(signal_id="s1"))]
        assert watched == [denied.order]


async def test_without_its_agent_nothing_is_traded(engine: EngineUnderTest) -> None:
    """A signal that nobody could execute is denied at once."""
    async with connected(engine.channel):
        pass
    await eventually(lambda: _agent_is(engine, ""), 30)
    denied = await engine.trading.SubmitSignal(wanted("s1"))
    assert denied.order.reason == "AGENT_NOT_CONNECTED"


async def _agent_is(engine: EngineUnderTest, name: str) -> bool:
    accounts = (await engine.trading.ListAccounts(pb.ListAccountsRequest())).accounts
    return [account.agent for account in accounts] == [name]


MALFORMED = [
    ("signal_id", wanted("")),
    ("side", wanted("s", side=0)),
    ("side", wanted("s", side=77)),
    ("volume", wanted("s", volume="0")),
    ("volume", wanted("s", volume="NaN")),
    ("volume", wanted("s", volume="-1")),
    ("volume", wanted("s", volume="")),
    ("stop_loss", wanted("s", stop_loss="inf")),
    ("take_profit", wanted("s", take_profit="0")),
    ("symbol", wanted("s", symbol="")),
    ("account.login", wanted("s", account=account_pb2.AccountRef(server="twin-7"))),
    ("account.server", wanted("s", account=account_pb2.AccountRef(login=1))),
    ("valid_for_ms", wanted("s", valid_for_ms=3_600_001)),
]


async def test_a_malformed_request_is_told_what_is_wrong(engine: EngineUnderTest) -> None:
    """INVALID_ARGUMENT with the field's name, and nothing is stored."""
    for field, request in MALFORMED:
        error = await refused(engine.trading.SubmitSignal(request))
        assert (error.reason, field in error.message) == (Reason.INVALID_ARGUMENT, True), error.message
    assert not (await engine.trading.ListOrders(pb.ListOrdersRequest())).orders


async def test_what_does_not_exist_is_not_found(engine: EngineUnderTest) -> None:
    """An account that no agent brought, an order that nobody made."""
    assert (await refused(engine.trading.SubmitSignal(wanted("s1")))).reason is Reason.UNKNOWN_ACCOUNT
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await anext(aiter(engine.trading.WatchOrder(pb.WatchOrderRequest(signal_id="none"))))
    assert MeshError.of(caught.value).reason is Reason.UNKNOWN_ORDER


async def test_the_trading_state_decides(engine: EngineUnderTest) -> None:
    """Halted denies everything, reducing what would make a position larger."""
    async with connected(engine.channel) as agent:
        assert await _set_state(engine, order_pb2.TRADING_STATE_HALTED) == order_pb2.TRADING_STATE_HALTED
        assert (await engine.trading.SubmitSignal(wanted("s1"))).order.reason == "TRADING_HALTED"
        await _set_state(engine, order_pb2.TRADING_STATE_ACTIVE)
        await engine.trading.SubmitSignal(wanted("s2"))
        agent.report((await agent.until_signals(1))[0], "FILLED")
        await eventually(lambda: len(agent.acknowledged) == 1)
        await _set_state(engine, order_pb2.TRADING_STATE_REDUCING)
        assert (await engine.trading.SubmitSignal(wanted("s3"))).order.reason == "TRADING_STATE_REDUCING"
        assert (await engine.trading.SubmitSignal(wanted("s4", side=SELL))).order.state == S.ORDER_STATE_PENDING
    error = await refused(engine.trading.SetTradingState(pb.SetTradingStateRequest(account=ACCOUNT)))
    assert error.reason is Reason.INVALID_ARGUMENT


async def _set_state(engine: EngineUnderTest, state: "order_pb2.TradingState.ValueType") -> int:
    request = pb.SetTradingStateRequest(account=ACCOUNT, trading_state=state, reason="test")
    return (await engine.trading.SetTradingState(request)).trading_state


async def test_live_money_starts_halted(engine: EngineUnderTest) -> None:
    """An account that is no demo trades nothing until a person allows it on the PC, whatever is said here."""
    greeting = hello(trade_mode="REAL")
    greeting.safety.halted, greeting.safety.reason = True, "LIVE_MONEY_NOT_ALLOWED"
    async with connected(engine.channel, greeting) as agent:
        (account,) = (await engine.trading.ListAccounts(pb.ListAccountsRequest())).accounts
        assert (account.agent, account.trading_state) == ("pc-1", order_pb2.TRADING_STATE_HALTED)
        assert (await engine.trading.SubmitSignal(wanted("s1"))).order.reason == "TRADING_HALTED"
        active = pb.SetTradingStateRequest(account=ACCOUNT, trading_state=order_pb2.TRADING_STATE_ACTIVE)
        assert (await refused(engine.trading.SetTradingState(active))).reason is Reason.LIVE_MONEY_NOT_ALLOWED
        agent.send(safety=link.AgentSafety())
        await eventually(lambda: _says_active(engine, active))
        assert (await engine.trading.SubmitSignal(wanted("s2"))).order.state == S.ORDER_STATE_PENDING


async def _says_active(engine: EngineUnderTest, request: pb.SetTradingStateRequest) -> bool:
    try:
        return (await engine.trading.SetTradingState(request)).trading_state == order_pb2.TRADING_STATE_ACTIVE
    except grpc.aio.AioRpcError:
        return False


async def test_doubt_freezes_the_symbol_until_it_is_resolved(engine: EngineUnderTest) -> None:
    """UNKNOWN is not the end of an order, and nothing else is sent on its symbol meanwhile."""
    async with connected(engine.channel) as agent:
        await engine.trading.SubmitSignal(wanted("s1"))
        signal = (await agent.until_signals(1))[0]
        watch = aiter(engine.trading.WatchOrder(pb.WatchOrderRequest(signal_id="s1")))
        await anext(watch)
        agent.report(signal, "UNKNOWN")
        assert (await anext(watch)).order.state == S.ORDER_STATE_UNKNOWN
        assert (await engine.trading.SubmitSignal(wanted("s2"))).order.reason == "SYMBOL_FROZEN"
        assert (await engine.trading.SubmitSignal(wanted("s3", symbol="XAUUSD"))).order.seq == 2
        agent.report(signal, "NOT_EXECUTED")
        assert [response.order.state async for response in watch] == [S.ORDER_STATE_NOT_EXECUTED]
        assert (await engine.trading.SubmitSignal(wanted("s4"))).order.state == S.ORDER_STATE_PENDING


async def test_orders_come_in_pages_newest_first(engine: EngineUnderTest) -> None:
    """Every order stands on one page."""
    async with connected(engine.channel):
        for number in range(5):
            await engine.trading.SubmitSignal(wanted(f"s{number}"))
        listed, token = [], ""
        while True:
            request = pb.ListOrdersRequest(account=ACCOUNT, page=page_pb2.PageRequest(size=2, token=token))
            page = await engine.trading.ListOrders(request)
            listed += [order.signal_id for order in page.orders]
            token = page.page.next_token
            if not token:
                break
        assert listed == ["s4", "s3", "s2", "s1", "s0"]


async def test_without_the_database_a_signal_is_refused_and_may_be_repeated(database: DatabaseUnderTest) -> None:
    """The caller hears that nothing is sure, asks again with the id, and there is one order."""
    async with running_engine(database, lane_valid_ms=60_000) as engine, connected(engine.channel) as agent:
        await database.stop()
        error = await refused(engine.trading.SubmitSignal(wanted("s1")))
        assert error.code is grpc.StatusCode.UNAVAILABLE
        await database.start()

        async def submitted() -> bool:
            try:
                return (await engine.trading.SubmitSignal(wanted("s1"))).order.seq == 1
            except grpc.aio.AioRpcError:
                return False

        await eventually(submitted)
        assert [signal.signal_id for signal in await agent.until_signals(1)] == ["s1"]
