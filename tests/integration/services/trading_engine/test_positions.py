"""What an agent says of its terminal, and what is asked about it: at its own engine and at others."""

import asyncio
from typing import Any

import grpc
import pytest
from suho.database.v1 import order_service_pb2 as db
from suho.trading.v1 import agent_link_pb2 as link
from suho.trading.v1 import order_pb2
from suho.trading.v1 import trading_pb2 as pb

from mesh.clock import unix_ms
from mesh.errors import MeshError, Reason
from services.trading_engine import peers
from services.trading_engine.domain.order import AccountId
from services.trading_engine.messages import order_of
from tests.integration.services.trading_engine.agent import ACCOUNT, Agent, connected, hello
from tests.integration.services.trading_engine.conftest import DatabaseUnderTest, EngineUnderTest, running_engine
from tests.integration.services.trading_engine.test_agent_link import strategy_intent
from tests.integration.services.trading_engine.test_trading import BUY, SELL, refused, wanted
from tests.support import eventually

pytestmark = pytest.mark.integration

S = order_pb2.OrderState
CLOSE, CANCEL = order_pb2.ORDER_KIND_CLOSE, order_pb2.ORDER_KIND_CANCEL_ORDER
HALTED, ACTIVE = order_pb2.TRADING_STATE_HALTED, order_pb2.TRADING_STATE_ACTIVE


def position(ticket: int, signal_id: str, volume: str = "0.10", symbol: str = "EURUSD") -> order_pb2.Position:
    return order_pb2.Position(ticket=ticket, symbol=symbol, side=BUY, volume=volume, signal_id=signal_id)


def snapshot(*positions: order_pb2.Position, orders: tuple[order_pb2.WorkingOrder, ...] = ()) -> link.AccountSnapshot:
    return link.AccountSnapshot(taken_unix_ns=1, equity="1000", positions=positions, orders=orders)


async def tell(agent: Agent, held: link.AccountSnapshot) -> None:
    """Sent, and heard: it is answered with what the engine counts."""
    before = len(agent.exposures)
    agent.send(snapshot=held)
    await eventually(lambda: len(agent.exposures) > before)


def closing(signal_id: str, ticket: int, **other: object) -> pb.SubmitSignalRequest:
    fields = {"signal_id": signal_id, "account": ACCOUNT, "kind": CLOSE, "position": ticket, **other}
    return pb.SubmitSignalRequest(**fields)  # type: ignore[arg-type]


async def opened(engine: EngineUnderTest, agent: Agent, signal_id: str = "s1", ticket: int = 7) -> None:
    """One position of ours, which the agent has told of."""
    await engine.trading.SubmitSignal(wanted(signal_id))
    signal = (await agent.until_signals(1))[-1]
    report_id = agent.report(signal, "FILLED", ticket=ticket)
    await eventually(lambda: report_id in agent.acknowledged)
    await tell(agent, snapshot(position(ticket, signal_id)))


async def test_a_close_needs_its_ticket_only_and_moves_the_exposure(engine: EngineUnderTest) -> None:
    """The rest is the position's, also in a halt; said again when it is gone, it is the same order; the agent hears
    what the engine counts."""
    async with connected(engine.channel) as agent:
        await opened(engine, agent)
        assert agent.exposures[-1] == {"EURUSD": "0.10"}
        await engine.trading.SetTradingState(pb.SetTradingStateRequest(account=ACCOUNT, trading_state=HALTED))
        order = (await engine.trading.SubmitSignal(closing("c1", 7))).order
        assert (order.state, order.symbol, order.side, order.volume) == (S.ORDER_STATE_PENDING, "EURUSD", SELL, "0.10")
        signal = (await agent.until_signals(2))[-1]
        assert (signal.kind, signal.position, signal.side) == (CLOSE, 7, SELL)
        agent.report(signal, "FILLED", ticket=8, deal=9)
        await eventually(lambda: len(agent.acknowledged) == 2)
        await tell(agent, snapshot())
        assert agent.exposures[-1] == {"EURUSD": "0.00"}
        again = await engine.trading.SubmitSignal(closing("c1", 7))
        assert (again.duplicate, again.order.state) == (True, S.ORDER_STATE_FILLED)
        assert (await refused(engine.trading.SubmitSignal(closing("c1", 8)))).reason is Reason.SIGNAL_ID_REUSED
        assert (await refused(engine.trading.SubmitSignal(closing("c2", 7)))).reason is Reason.UNKNOWN_TICKET


async def test_a_pending_order_waits_and_is_removed(engine: EngineUnderTest) -> None:
    """PLACED is not its end; its removal is an order of its own, which knows the symbol by the ticket."""
    async with connected(engine.channel) as agent:
        limit = wanted("l1", kind=order_pb2.ORDER_KIND_LIMIT, price="1.05", expires_unix_ms=2_000_000_000_000)
        await engine.trading.SubmitSignal(limit)
        signal = (await agent.until_signals(1))[0]
        assert (signal.price, signal.expires_unix_ms) == ("1.05", 2_000_000_000_000)
        watch = aiter(engine.trading.WatchOrder(pb.WatchOrderRequest(signal_id="l1")))
        await anext(watch)
        agent.report(signal, "PLACED", ticket=70)
        assert (await anext(watch)).order.state == S.ORDER_STATE_PLACED
        await tell(agent, snapshot(orders=(order_pb2.WorkingOrder(ticket=70, symbol="EURUSD", signal_id="l1"),)))
        removal = pb.SubmitSignalRequest(signal_id="x1", account=ACCOUNT, kind=CANCEL, order_ticket=70)
        assert (await engine.trading.SubmitSignal(removal)).order.symbol == "EURUSD"
        agent.report((await agent.until_signals(2))[1], "DONE")
        agent.report(signal, "CANCELED", ticket=70)
        assert [response.order.state async for response in watch] == [S.ORDER_STATE_CANCELED]
        shown = await engine.trading.GetOrder(pb.GetOrderRequest(signal_id="l1"))
        states = [S.ORDER_STATE_PENDING, S.ORDER_STATE_PLACED, S.ORDER_STATE_CANCELED]
        assert ([event.state_after for event in shown.events], shown.order.agent) == (states, "pc-1")


async def test_a_halt_may_flatten_what_is_ours(engine: EngineUnderTest) -> None:
    """The agent hears the state at once; our pending orders are removed, each of our positions gets one close, asked
    once or twice, also the one that an entry under way still brings; foreign ones are not touched."""
    async with connected(engine.channel) as agent, asyncio.TaskGroup() as tasks:
        await opened(engine, agent)
        adopted = order_pb2.ExternalDeal(
            deal=9, symbol="EURUSD", side=BUY, volume="0.30", cause=order_pb2.DEAL_CAUSE_ADOPTED, signal_id="adopted-9"
        )
        agent.send(deals=link.ExternalDeals(deals=[adopted]))
        await eventually(lambda: agent.deals)
        await engine.trading.SubmitSignal(wanted("s2"))
        entry = (await agent.until_signals(2))[1]
        waiting = tuple(
            order_pb2.WorkingOrder(ticket=ticket, symbol="EURUSD", kind=order_pb2.ORDER_KIND_LIMIT, signal_id=of)
            for ticket, of in ((5, "s5"), (6, ""))
        )
        held = (position(7, "s1"), position(8, ""), position(9, "adopted-9", "0.30"))
        await tell(agent, snapshot(*held, orders=waiting))
        halt = pb.SetTradingStateRequest(account=ACCOUNT, trading_state=HALTED, reason="news", flatten=True)
        assert (await refused(engine.trading.SetTradingState(halt))).reason is Reason.INVALID_ARGUMENT
        halt.request_id = "r1"
        halting = tasks.create_task(asked(engine, halt))
        await agent.until_signals(5)
        agent.report(entry, "FILLED", ticket=10, deal=10)
        await eventually(lambda: len(agent.acknowledged) == 2)
        await tell(agent, snapshot(*held, position(10, "s2"), orders=waiting))
        answer = await halting
        removal, *closes = (await agent.until_signals(6))[2:]
        assert (removal.order_ticket, [removal.signal_id]) == (5, list(answer.removal_ids))
        assert [(signal.position, signal.volume) for signal in closes] == [(7, "0.10"), (9, "0.30"), (10, "0.10")]
        assert [signal.signal_id for signal in closes] == list(answer.signal_ids)
        assert all(10_000 < signal.not_after_unix_ms - unix_ms() <= 30_000 for signal in closes)
        assert (agent.states[-1].trading_state, agent.states[-1].reason) == (HALTED, "news")
        assert (await asked(engine, halt)).signal_ids == answer.signal_ids
        foreign = await engine.trading.SubmitSignal(closing("c8", 8))
        assert foreign.order.reason == "FOREIGN_TICKET"
        assert len(agent.signals) == 6


async def asked(engine: EngineUnderTest, request: pb.SetTradingStateRequest) -> pb.SetTradingStateResponse:
    return await engine.trading.SetTradingState(request)


async def test_the_agents_own_say_denies_entries(engine: EngineUnderTest) -> None:
    """Under its own reason, until it says otherwise; people see it."""
    async with connected(engine.channel) as agent:
        agent.send(safety=link.AgentSafety(halted=True, reason="KILL_SWITCH", message="a file says so"))

        async def told() -> bool:
            (account,) = (await engine.trading.ListAccounts(pb.ListAccountsRequest())).accounts
            return account.safety.reason == "KILL_SWITCH"

        await eventually(told)
        assert (await engine.trading.SubmitSignal(wanted("s1"))).order.reason == "KILL_SWITCH"


async def test_external_deals_move_what_they_close(engine: EngineUnderTest) -> None:
    """A stop that was met frees the strategy's or person's volume; told twice it counts once; a foreign one nothing."""
    async with connected(engine.channel) as agent:
        await opened(engine, agent)
        stop = order_pb2.ExternalDeal(
            deal=20, order=21, position=7, symbol="EURUSD", side=SELL, volume="0.10", price="1.0", profit="-9.5",
            cause=order_pb2.DEAL_CAUSE_STOP_LOSS, signal_id="s1",
        )  # fmt: skip
        foreign = order_pb2.ExternalDeal(
            deal=30, symbol="XAUUSD", side=BUY, volume="1", cause=order_pb2.DEAL_CAUSE_BY_HAND
        )
        adopted = order_pb2.ExternalDeal(
            deal=20, symbol="XAUUSD", side=BUY, volume="1", cause=order_pb2.DEAL_CAUSE_ADOPTED, signal_id="adopted-20"
        )
        for _ in range(2):
            agent.send(deals=link.ExternalDeals(deals=[stop, foreign, adopted]))
        await eventually(lambda: len(agent.deals) == 6)
        await tell(agent, snapshot())
        assert agent.exposures[-1] == {"EURUSD": "0.00", "XAUUSD": "1"}
        listed = (await engine.trading.ListExternalDeals(pb.ListExternalDealsRequest())).deals
        assert [(item.deal.deal, item.deal.cause) for item in listed] == [
            (20, order_pb2.DEAL_CAUSE_ADOPTED),
            (30, order_pb2.DEAL_CAUSE_BY_HAND),
            (20, order_pb2.DEAL_CAUSE_STOP_LOSS),
        ]


async def test_a_deal_that_the_database_refuses_holds_up_no_other(engine: EngineUnderTest) -> None:
    """Its answer says that it is for good, and why: the agent need not say it for ever."""
    async with connected(engine.channel) as agent:
        deals = [
            order_pb2.ExternalDeal(
                deal=number, symbol="EURUSD", side=BUY, volume=volume, cause=order_pb2.DEAL_CAUSE_BY_HAND
            )
            for number, volume in ((1, "0.10"), (2, "much"), (3, "0.10"))
        ]
        agent.send(deals=link.ExternalDeals(deals=deals))
        await eventually(lambda: sorted(agent.deals) == [1, 3] and agent.refused_deals)
        assert [(one.deal, one.reason) for one in agent.refused_deals] == [(2, "INVALID_ARGUMENT")]
        assert "much" in agent.refused_deals[0].message


async def test_any_engine_answers_for_an_account(database: DatabaseUnderTest) -> None:
    """What is asked of an engine without the lane is passed to the one that has it: signals, closes, states, positions
    and markets; while that one is away it says so, and a halt counts all the same; nobody says then what it closed."""
    async with running_engine(database, instance="engine-2") as other:
        # Its lease outlasts it here.
        async with running_engine(database, lane_valid_ms=60_000) as own, connected(own.channel) as agent:
            await opened(other, agent)
            agent.send(market=link.MarketReport(conditions=[order_pb2.MarketConditions(symbol="EURUSD", news="NFP")]))
            (held,) = (await other.trading.ListPositions(pb.ListPositionsRequest())).accounts
            assert (held.agent, held.snapshot.positions[0].ticket) == ("pc-1", 7)

            async def heard() -> bool:
                answer = await other.trading.ListMarketConditions(pb.ListMarketConditionsRequest(account=ACCOUNT))
                return [one.news for one in answer.accounts[0].conditions] == ["NFP"]

            await eventually(heard)
            assert (await other.trading.SubmitSignal(closing("c1", 7))).order.side == SELL
            assert (await refused(other.trading.SubmitSignal(closing("c2", 99)))).reason is Reason.UNKNOWN_TICKET
            reducing = pb.SetTradingStateRequest(account=ACCOUNT, trading_state=order_pb2.TRADING_STATE_REDUCING)
            await other.trading.SetTradingState(reducing)
            await eventually(lambda: agent.states[-1].trading_state == order_pb2.TRADING_STATE_REDUCING)
        away = await refused(other.trading.SubmitSignal(wanted("s2")))
        assert (away.reason, away.code) == (Reason.ENGINE_AWAY, grpc.StatusCode.UNAVAILABLE)
        halt = pb.SetTradingStateRequest(account=ACCOUNT, trading_state=HALTED)
        assert (await other.trading.SetTradingState(halt)).trading_state == HALTED
        halt.flatten, halt.request_id = True, "r1"
        unsure = await refused(other.trading.SetTradingState(halt))
        assert (unsure.reason, "nobody knows whether" in unsure.message) == (Reason.ENGINE_AWAY, True)
        (unknown,) = (await other.trading.ListPositions(pb.ListPositionsRequest())).accounts
        assert not unknown.HasField("snapshot")


async def test_what_an_engine_hears_too_late_it_does_not_do(
    database: DatabaseUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stood still while it was asked to resume and to flatten: who asked knows that nobody knows, and went on."""
    stands, answer = asyncio.Event(), peers._answer

    async def stand(*args: Any) -> None:
        await stands.wait()
        await answer(*args)
        answered.append(args)

    answered: list[tuple[Any, ...]] = []
    monkeypatch.setattr(peers, "_answer", stand)
    monkeypatch.setattr(peers, "_TIMEOUT_S", 0.1)
    async with (
        running_engine(database) as one,
        running_engine(database, instance="engine-2") as two,
        connected(two.channel) as agent,
    ):
        await opened(two, agent)
        resume = pb.SetTradingStateRequest(account=ACCOUNT, trading_state=ACTIVE)
        assert (await one.trading.SetTradingState(resume)).trading_state == ACTIVE
        halt = pb.SetTradingStateRequest(account=ACCOUNT, trading_state=HALTED, flatten=True, request_id="r")
        away = await refused(one.trading.SetTradingState(halt))
        assert (away.reason, "nobody knows" in away.message) == (Reason.ENGINE_AWAY, True)
        stands.set()
        await eventually(lambda: len(answered) == 2)
        (account,) = (await two.trading.ListAccounts(pb.ListAccountsRequest())).accounts
        assert (account.trading_state, len(agent.signals)) == (HALTED, 1)


async def test_a_state_that_was_set_elsewhere_reaches_the_agent_with_its_lease(database: DatabaseUnderTest) -> None:
    """Whoever set it, and however: the agent's engine sees it when it renews."""
    async with running_engine(database, lane_valid_ms=3_000) as engine, connected(engine.channel) as agent:
        await eventually(lambda: agent.states and agent.states[0].trading_state == ACTIVE)
        async with running_engine(database, instance="engine-2") as other:
            halting = db.SetTradingStateRequest(account=ACCOUNT, trading_state=HALTED)
            await other.engine.database.set_trading_state(halting)
        await eventually(lambda: agent.states[-1].trading_state == HALTED)


async def test_what_another_engine_heard_is_counted_from_the_next_renewal_on(database: DatabaseUnderTest) -> None:
    """As of a stop that was told there: what this engine remembers of the account is not told for ever."""
    async with running_engine(database, lane_valid_ms=3_000) as engine, connected(engine.channel) as agent:
        await opened(engine, agent)
        stop = order_pb2.ExternalDeal(
            deal=90, position=7, symbol="EURUSD", side=SELL, volume="0.10",
            cause=order_pb2.DEAL_CAUSE_STOP_LOSS, signal_id="s1",
        )  # fmt: skip
        await engine.engine.database.record_deals(AccountId(ACCOUNT.server, ACCOUNT.login), [stop])

        async def counted() -> bool:
            await tell(agent, snapshot())
            return agent.exposures[-1] == {"EURUSD": "0.00"}

        await eventually(counted)


async def test_a_committed_signal_goes_down_once(engine: EngineUnderTest) -> None:
    """The engine that commits it hands it down by itself and stamps when; the outbox then passes it by."""
    async with connected(engine.channel) as agent:
        for number in range(20):
            await engine.trading.SubmitSignal(wanted(f"s{number}"))
        signals = await agent.until_signals(20)
        assert all(signal.committed_unix_ns < signal.sent_unix_ns for signal in signals)
        # One that only the outbox brings: it has passed by all the others then.
        stored = engine.engine.database
        revision = (await stored.account(strategy_intent("o").account)).revision
        await stored.commit(order_of(strategy_intent("o"), None), revision)
        await agent.until_signals(21)
        assert [signal.seq for signal in agent.signals] == list(range(1, 22))


async def test_a_snapshot_that_is_none_ends_the_lane_in_words(engine: EngineUnderTest) -> None:
    """A position has a side and a volume."""
    for broken in (position(7, "s", volume="much"), order_pb2.Position(ticket=7, volume="1")):
        async with connected(engine.channel, hello()) as agent:
            agent.send(snapshot=snapshot(broken))
            await eventually(lambda agent=agent: agent.ended)  # type: ignore[misc]
            assert agent.error is not None
            assert "snapshot" in MeshError.of(agent.error).message
