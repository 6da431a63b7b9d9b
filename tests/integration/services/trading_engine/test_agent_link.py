"""Agents' lanes: signals down once and in order, reports up, over whatever breaks."""

import asyncio
from decimal import Decimal

import grpc
import pytest
from suho.common.v1 import account_pb2
from suho.trading.v1 import agent_link_pb2 as link
from suho.trading.v1 import agent_link_pb2_grpc, order_pb2
from suho.trading.v1 import trading_pb2 as pb

from mesh.clock import unix_ms, unix_ns
from mesh.errors import MeshError, Reason
from services.trading_engine.domain.order import AccountId, Intent, Side
from services.trading_engine.messages import order_of
from tests.integration.services.trading_engine.agent import ACCOUNT, Agent, connected, hello
from tests.integration.services.trading_engine.conftest import DatabaseUnderTest, EngineUnderTest, running_engine
from tests.integration.services.trading_engine.test_trading import wanted
from tests.support import eventually

pytestmark = pytest.mark.integration


def reason(agent: Agent) -> Reason:
    assert agent.error is not None
    return MeshError.of(agent.error).reason


def strategy_intent(signal_id: str) -> Intent:
    account = AccountId(ACCOUNT.server, ACCOUNT.login)
    not_after = unix_ms() + 5_000
    return Intent(signal_id, account, "EURUSD", Side.BUY, Decimal("0.10"), None, None, "example", unix_ns(), not_after)


async def test_two_engines_see_each_others_position(database: DatabaseUnderTest) -> None:
    """Of many decisions at once on one account, at the engine that has its agent and at another, one finds no position,
    and the others find its order."""
    async with (
        running_engine(database) as one,
        running_engine(database, instance="engine-2") as two,
        connected(one.channel),
    ):
        desks = [one.engine.desk, two.engine.desk] * 4
        intents = [strategy_intent(f"s{number}") for number in range(len(desks))]
        committed = await asyncio.gather(*(desk.submit(intent) for desk, intent in zip(desks, intents, strict=True)))
        assert sorted(item.order.reason for item in committed) == [""] + ["ORDER_IN_FLIGHT"] * 7


async def test_an_order_can_be_watched_at_any_engine(database: DatabaseUnderTest) -> None:
    """What another engine's lane learned is found in the database."""
    async with (
        running_engine(database) as one,
        running_engine(database, instance="engine-2") as two,
        connected(one.channel) as agent,
    ):
        await one.trading.SubmitSignal(wanted("s1"))
        watch = aiter(two.trading.WatchOrder(pb.WatchOrderRequest(signal_id="s1")))
        assert (await anext(watch)).order.state == order_pb2.ORDER_STATE_PENDING
        agent.report((await agent.until_signals(1))[0], "FILLED")
        assert [response.order.state async for response in watch] == [order_pb2.ORDER_STATE_FILLED]


async def test_the_longest_signal_id_can_be_reported_on(engine: EngineUnderTest) -> None:
    """Agents make a report's id of the signal's and the state: an id that may be submitted ends no lane."""
    async with connected(engine.channel) as agent:
        await engine.trading.SubmitSignal(wanted("s" * 128))
        report_id = agent.report((await agent.until_signals(1))[0], "NOT_EXECUTED")
        await eventually(lambda: agent.acknowledged or agent.ended)
        assert agent.acknowledged == [report_id]


async def test_an_agent_that_returns_gets_what_it_lacks(engine: EngineUnderTest) -> None:
    """After the place that its ledger holds, in order. With another ledger everything again, void where it is over, and
    said to be handed out before; the same ledger after a cut stream hears nothing of the kind."""
    async with connected(engine.channel) as agent:
        for number in range(1, 4):
            await engine.trading.SubmitSignal(wanted(f"s{number}"))
        signals = await agent.until_signals(3)
        assert [signal.seq for signal in signals] == [1, 2, 3]
        agent.send(signal_ack=link.SignalAck(epoch=signals[0].epoch, seq=3))
        agent.report(signals[0], "FILLED")
        await eventually(lambda: agent.acknowledged)
        epoch = signals[0].epoch
    async with connected(engine.channel, hello(epoch=epoch, last_seq=2)) as agent:
        (third,) = await agent.until_signals(1)
        assert (third.signal_id, third.redelivered) == ("s3", False)
        agent.send(farewell=link.AgentFarewell())  # else the next ledger would wait for the lease
        await eventually(lambda: agent.ended)
    async with connected(engine.channel, hello(ledger="ledger-2")) as agent:
        again = await agent.until_signals(3)
        assert [(signal.signal_id, signal.void) for signal in again] == [("s1", True), ("s2", False), ("s3", False)]
        assert all(signal.redelivered for signal in again)


async def test_an_engine_that_died_after_the_commit_is_followed_by_one_that_relays(
    database: DatabaseUnderTest,
) -> None:
    """What is committed is in the outbox, whoever reads it."""
    async with running_engine(database) as first, connected(first.channel):
        stored = first.engine.database
        account = await stored.account(AccountId(ACCOUNT.server, ACCOUNT.login))
    async with running_engine(database, instance="engine-2") as second:
        await second.engine.database.commit(order_of(strategy_intent("s1"), None), account.revision)
    async with running_engine(database, instance="engine-3") as third, connected(third.channel) as agent:
        (signal,) = await agent.until_signals(1)
        assert (signal.signal_id, signal.seq, signal.redelivered) == ("s1", 1, False)


async def test_a_report_is_acknowledged_only_when_it_is_stored(database: DatabaseUnderTest) -> None:
    """While the database is away the lane stands, its clock answers, and the report waits; then it is stored."""
    async with running_engine(database, lane_valid_ms=60_000) as engine, connected(engine.channel) as agent:
        await engine.trading.SubmitSignal(wanted("s1"))
        signal = (await agent.until_signals(1))[0]
        await database.stop()
        report_id = agent.report(signal, "FILLED")
        agent.send(clock=link.ClockProbe(agent_unix_ns=42))
        await eventually(lambda: agent.clocks)
        assert agent.clocks[0].agent_unix_ns == 42
        assert 0 < agent.clocks[0].valid_for_ms <= 60_000
        assert agent.acknowledged == []
        await database.start()
        await eventually(lambda: agent.acknowledged == [report_id])
        order = (await engine.trading.ListOrders(pb.ListOrdersRequest())).orders[0]
        assert order.state == order_pb2.ORDER_STATE_FILLED
        # Said again, it changes nothing and is acknowledged again; and the relay has come back too.
        agent.report(signal, "FILLED")
        await eventually(lambda: agent.acknowledged == [report_id] * 2)
        await engine.trading.SubmitSignal(wanted("s2"))
        assert [signal.seq for signal in await agent.until_signals(2)] == [1, 2]
        assert agent.ended is None


async def test_a_report_that_the_database_refuses_holds_up_no_other(engine: EngineUnderTest) -> None:
    """The agent hears which and why; those beside it are acknowledged."""
    async with connected(engine.channel) as agent:
        await engine.trading.SubmitSignal(wanted("s1"))
        signal = (await agent.until_signals(1))[0]
        stranger = link.Signal(signal_id="none", account=ACCOUNT, volume="1")
        agent.report(stranger, "FILLED")
        report_id = agent.report(signal, "FILLED")
        await eventually(lambda: report_id in agent.acknowledged)
        assert agent.acknowledged == [report_id]
        assert [(item.report_id, item.reason) for item in agent.refused] == [("none/FILLED", "UNKNOWN_ORDER")]


async def test_what_never_arrived_is_sent_again(engine: EngineUnderTest) -> None:
    """The agent asks for a stretch and gets just that."""
    async with connected(engine.channel) as agent:
        for number in range(1, 5):
            await engine.trading.SubmitSignal(wanted(f"s{number}"))
        epoch = (await agent.until_signals(4))[0].epoch
        agent.send(missing=link.MissingSignals(epoch=epoch, from_seq=2, to_seq=3))
        assert [signal.seq for signal in await agent.until_signals(6)] == [1, 2, 3, 4, 2, 3]
        assert [signal.redelivered for signal in agent.signals[4:]] == [False, False]


async def test_a_newer_stream_ends_the_older(engine: EngineUnderTest) -> None:
    """One lane an account; the older hears who took it."""
    async with connected(engine.channel) as older, connected(engine.channel) as newer:
        await eventually(lambda: older.ended)
        assert reason(older) is Reason.AGENT_REPLACED
        await engine.trading.SubmitSignal(wanted("s1"))
        await newer.until_signals(1)
        assert older.signals == []


async def test_another_agent_stands_by_until_the_first_may_do_nothing_more(database: DatabaseUnderTest) -> None:
    """At any engine: it hears who executes, and joins when the lease has lapsed, not before; the first one's stream was
    cut, so nobody knows what it still does."""
    loop = asyncio.get_running_loop()
    async with (
        running_engine(database, lane_valid_ms=4_000) as one,
        running_engine(database, instance="engine-2", lane_valid_ms=4_000) as two,
        connected(one.channel) as first,
        connected(two.channel, hello("pc-2"), wait=False) as second,
    ):
        await eventually(lambda: second.standby == ["pc-1"])
        (account,) = (await two.trading.ListAccounts(pb.ListAccountsRequest())).accounts
        assert (account.agent, account.engine, list(account.standing_by)) == ("pc-1", "engine-1", ["pc-2"])
        probed = loop.time()
        first.send(clock=link.ClockProbe())
        await eventually(lambda: first.clocks)
        first.cut()
        await eventually(lambda: second.joined)
        assert loop.time() >= probed + first.clocks[0].valid_for_ms / 1000


async def test_who_says_farewell_makes_room_at_once(database: DatabaseUnderTest) -> None:
    """Nothing is waited for then, and least of all that its lease lapses."""
    async with (
        running_engine(database, lane_valid_ms=60_000) as engine,
        connected(engine.channel) as first,
        connected(engine.channel, hello("pc-2"), wait=False) as second,
    ):
        await eventually(lambda: second.standby)
        first.send(farewell=link.AgentFarewell())
        await eventually(lambda: second.joined)


async def test_a_newer_stream_at_another_engine_ends_the_older(database: DatabaseUnderTest) -> None:
    """The same agent is let in at once; the older engine hears of it when it renews, and hands nothing down then."""
    async with (
        running_engine(database, lane_valid_ms=600) as one,
        running_engine(database, instance="engine-2", lane_valid_ms=600) as two,
        connected(one.channel) as older,
        connected(two.channel),
    ):
        await eventually(lambda: older.ended)
        assert reason(older) is Reason.AGENT_REPLACED

        async def held_at_the_other() -> bool:
            (account,) = (await one.trading.ListAccounts(pb.ListAccountsRequest())).accounts
            return (account.agent, account.engine) == ("pc-1", "engine-2")

        await eventually(held_at_the_other)  # with so short a lease it may have lapsed for a moment


async def test_a_draining_engine_sends_its_agents_elsewhere(engine: EngineUnderTest) -> None:
    """The lane is asked to move and then ended; a new one is told to try again, until the engine is back."""
    async with connected(engine.channel) as agent:
        engine.engine.server.draining.set()
        await eventually(lambda: agent.ended is grpc.StatusCode.OK)
        assert agent.drained
    async with connected(engine.channel) as late:
        await eventually(lambda: late.ended)
        assert reason(late) is Reason.SHUTTING_DOWN
    engine.engine.server.draining.clear()
    async with connected(engine.channel) as back:
        await eventually(lambda: back.joined)


def said(**fields: object) -> link.StreamSignalsRequest:
    report = order_pb2.ExecutionReport(**fields)  # type: ignore[arg-type]
    return link.StreamSignalsRequest(reports=link.ExecutionReports(reports=[report]))


STRANGER = account_pb2.AccountRef(server="twin-7", login=2)
BROKEN = [
    ("hello", link.StreamSignalsRequest(hello=hello())),
    ("kind", link.StreamSignalsRequest()),
    ("missing", link.StreamSignalsRequest(missing=link.MissingSignals(from_seq=3, to_seq=2))),
    ("signal_ack", link.StreamSignalsRequest(signal_ack=link.SignalAck(seq=9))),
    ("report_id", said()),
    ("another account", said(report_id="r", signal_id="s", account=STRANGER)),
    ("state", said(report_id="r", signal_id="s", account=ACCOUNT, state=order_pb2.ORDER_STATE_PENDING)),
]


async def test_a_broken_message_ends_the_lane_in_words(engine: EngineUnderTest) -> None:
    """INVALID_ARGUMENT that names what is wrong; the engine serves on."""
    for word, request in BROKEN:
        async with connected(engine.channel) as agent:
            assert agent.joined is not None
            for kind in ("missing", "signal_ack"):
                if request.HasField(kind):
                    getattr(request, kind).epoch = agent.joined.epoch
            agent.outgoing.put_nowait(request)
            await eventually(lambda agent=agent: agent.ended)  # type: ignore[misc]
            assert agent.error is not None
            error = MeshError.of(agent.error)
            assert (error.reason, word in error.message) == (Reason.INVALID_ARGUMENT, True), error.message


async def test_a_broken_hello_is_refused_in_words(engine: EngineUnderTest) -> None:
    """Without a trade mode, an account, a name, or as anything but the first message."""
    nameless = hello(agent="")
    modeless = hello()
    modeless.trade_mode = order_pb2.TRADE_MODE_UNSPECIFIED
    homeless = hello()
    homeless.ClearField("account")
    odd = hello()
    odd.symbols[0].volume_step = "1e-2"
    for word, greeting in (("agent", nameless), ("trade_mode", modeless), ("login", homeless), ("volume_step", odd)):
        async with connected(engine.channel, greeting) as agent:
            assert agent.error is not None
            assert word in MeshError.of(agent.error).message
    call = agent_link_pb2_grpc.AgentLinkServiceStub(engine.channel).StreamSignals(
        iter([link.StreamSignalsRequest(clock=link.ClockProbe())])
    )
    with pytest.raises(grpc.aio.AioRpcError, match="hello"):
        await call.read()


async def test_an_agent_ahead_of_the_database_is_refused(engine: EngineUnderTest) -> None:
    """A database that forgot signals would give their numbers to others, which the agent would then ignore. In a new
    epoch everybody is told of all there is, and none of it is new; who counts in the old one joins again."""
    async with connected(engine.channel) as agent:
        assert agent.joined is not None
        epoch = agent.joined.epoch
        await engine.trading.SubmitSignal(wanted("s1"))
        await agent.until_signals(1)
    ahead = hello(epoch=epoch, last_seq=7)
    async with connected(engine.channel, ahead) as agent:
        await eventually(lambda: agent.ended)
        assert reason(agent) is Reason.EPOCH_SUPERSEDED
        assert f"`suho accounts new-epoch {ACCOUNT.login}@{ACCOUNT.server}`" in str(agent.error)
    leaving = pb.BeginEpochRequest(account=ACCOUNT, left_epoch=epoch)
    async with connected(engine.channel, hello(epoch=epoch, last_seq=1)) as agent:
        begun = {(await engine.trading.BeginEpoch(leaving)).epoch for _ in range(2)}
        await eventually(lambda: agent.ended)
        assert reason(agent) is Reason.EPOCH_SUPERSEDED
    async with connected(engine.channel, ahead) as agent:
        (again,) = await agent.until_signals(1)
        assert (begun, again.signal_id, again.seq) == ({again.epoch}, "s1", 1)
        await engine.trading.SubmitSignal(wanted("s2"))
        assert [signal.seq for signal in await agent.until_signals(2)] == [1, 2]
