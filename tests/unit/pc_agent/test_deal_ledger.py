"""Deals on disk: each taken once, the fills that they prove, what the engine has still to be told."""

import asyncio
import json
import sqlite3
from collections.abc import Coroutine, Sequence
from dataclasses import astuple, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from mesh.orders import Kind
from pc_agent.domain.attribution import Cause, External
from pc_agent.domain.books import BookDeal, BookPosition
from pc_agent.domain.orders import Account, Entry, OrderState, Result, Side, Signal, mark_of
from pc_agent.orders import deal_ledger
from pc_agent.orders.deal_ledger import ADOPTED, DealLedger, Taken
from pc_agent.orders.deal_rows import RefusedDeal
from pc_agent.orders.ledger import Ledger, open_ledger
from pc_agent.orders.ledger_schema import MIGRATIONS

ACCOUNT = Account("broker-1", 42)
BUY, SELL = 0, 1
OUT = 1
BY_HAND, STOP_LOSS = 0, 4


@pytest.fixture
def deals(ledger: Ledger) -> DealLedger:
    return DealLedger(ledger, ACCOUNT)


async def stands(ledger: Ledger, name: str, result: Result, kind: Kind = Kind.MARKET, volume: str = "0.3") -> None:
    signal = Signal(name, ACCOUNT, 1, 1, False, False, "EURUSD", Side.BUY, volume, "", "", 1, kind=kind)
    await ledger.receive(ACCOUNT, 1, 1, [Entry(signal, Result(OrderState.RECEIVED), 1)])
    await ledger.intend([name], 2)
    if result.state is not OrderState.INTENT:
        await ledger.settle(name, result)


def deal(ticket: int, name: str = "", **changes: object) -> BookDeal:
    mark = mark_of(name) if name else None
    made = BookDeal(
        ticket, 50, mark.magic if mark else 0, mark.comment if mark else "", "EURUSD", BUY, 0.3, 1.1,
        position=50, time_msc=1_000_000 + ticket * 1000,
    )  # fmt: skip
    return replace(made, **changes)  # type: ignore[arg-type]


async def took(deals: DealLedger, page: Sequence[BookDeal]) -> Taken:
    """What it tells of a page."""
    taken = Taken()

    def hear(some: Taken) -> None:
        taken.externals.extend(some.externals)
        taken.settled.extend(some.settled)
        taken.payments.extend(some.payments)

    deals.took = hear
    await deals.take(page)
    return taken


async def given_up(asked: Coroutine[Any, Any, None]) -> None:
    """Whoever asked leaves while the ledger writes; it is written then."""
    task = asyncio.get_running_loop().create_task(asked)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


FILLED = Result(OrderState.FILLED, ticket=50, deal=7, volume="0.3", price="1.1")


async def test_a_deal_is_taken_once_and_told_until_acknowledged(ledger: Ledger, deals: DealLedger) -> None:
    """However often the history is read again; also by an agent that starts anew."""
    await stands(ledger, "s1", FILLED)
    stop = deal(8, "s1", type=SELL, entry=OUT, order=51, reason=STOP_LOSS)
    first = await took(deals, [deal(7, "s1"), stop])
    again = await took(DealLedger(ledger, ACCOUNT), [stop, deal(7, "s1")])
    assert ([one.moved for one in first.externals], again.externals) == ([Decimal("-0.3")], [])
    (waiting,) = await deals.waiting(10)
    assert (waiting.deal, waiting.cause, waiting.signal_id) == (stop, Cause.STOP_LOSS, "s1")
    await deals.acknowledged([8])
    assert await deals.waiting(10) == []
    assert await deals.holdings() == {}


async def test_a_refused_deal_is_set_aside_for_a_person(ledger: Ledger, deals: DealLedger) -> None:
    """It is told no more, and stands in nobody's way; its reason is kept for a month."""
    await deals.take([deal(8), deal(9)])
    deals.news.clear()
    await deals.refuse(RefusedDeal(8, "INVALID_ARGUMENT", "no such symbol"))
    assert deals.news.is_set()
    again = DealLedger(ledger, ACCOUNT)
    assert (await took(again, [deal(8)])).externals == []
    assert [one.deal.ticket for one in await again.waiting(10)] == [9]
    assert await again.refused() == [RefusedDeal(8, "INVALID_ARGUMENT", "no such symbol")]
    await again.forget(2**50)
    assert await again.refused() == []


async def test_deals_of_an_older_ledger_stay(tmp_path: Path) -> None:
    """Those that were acknowledged, and those that wait."""
    with sqlite3.connect(tmp_path / "ledger.sqlite") as old:
        for step in MIGRATIONS[:3]:
            step(old)
        old.execute("PRAGMA user_version = 3")
        for one, waiting in ((deal(8), 1), (deal(9), 0)):
            row = (*astuple(ACCOUNT), str(one.ticket), one.time_msc, json.dumps(astuple(one)), "", "", "-0.3",
                   "BY_HAND", "s1", waiting)  # fmt: skip
            old.execute("INSERT INTO deal VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
    old.close()
    with open_ledger(tmp_path) as ledger:
        deals = DealLedger(ledger, ACCOUNT)
        assert await deals.waiting(10) == [External(deal(8), Decimal("-0.3"), Cause.BY_HAND, "s1")]
        assert (await took(deals, [deal(8), deal(9)])).externals == []


@pytest.mark.parametrize("state", [OrderState.UNKNOWN, OrderState.PLACED, OrderState.REJECTED])
async def test_a_deal_proves_the_fill_of_its_signal(ledger: Ledger, deals: DealLedger, state: OrderState) -> None:
    """In doubt, pending or called dead: the order becomes what its deals say, by and by."""
    await stands(ledger, "s1", Result(state, ticket=50), kind=Kind.LIMIT)
    part = await took(deals, [deal(7, "s1", volume=0.1)])
    whole = await took(deals, [deal(7, "s1", volume=0.1), deal(8, "s1", volume=0.2, price=1.4)])
    assert [entry.state for entry in part.settled + whole.settled] == [OrderState.PARTIALLY_FILLED, OrderState.FILLED]
    entry = await ledger.entry("s1")
    assert entry
    assert (entry.result.volume, entry.result.price) == ("0.3", "1.3")
    assert part.externals + whole.externals == []


async def test_what_the_worker_is_about_to_answer_is_left_to_it(ledger: Ledger, deals: DealLedger) -> None:
    """A deal may be read before the answer to its order arrives."""
    await stands(ledger, "s1", Result(OrderState.INTENT))
    assert (await took(deals, [deal(7, "s1")])).settled == []
    await ledger.settle("s1", FILLED)
    assert (await deals.holdings())[50].owner == "s1"


async def test_a_refusal_does_not_hide_a_deal_that_was_read_before_it(ledger: Ledger, deals: DealLedger) -> None:
    """What the worker calls refused although a deal is there, is raised from the dead; a person hears of it once, also
    when whoever looked has given up."""
    await stands(ledger, "s1", Result(OrderState.INTENT))
    await deals.take([deal(7, "s1")])
    await ledger.settle("s1", Result(OrderState.REJECTED))
    with capture_logs() as logs:
        await given_up(deals.raise_dead(0))
        await deals.raise_dead(0)
    entry = await ledger.entry("s1")
    assert entry
    assert entry.state is OrderState.FILLED
    told = [(log["event"], log["signal_id"]) for log in logs if log["log_level"] == "error"]
    assert told == [("executed, though it was called dead", "s1")]


async def test_deals_may_come_in_any_order(ledger: Ledger, deals: DealLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    """A closing deal waits for the one that opened its position; the cursor waits with it; in the end it is foreign."""
    close = deal(9, type=SELL, entry=OUT, order=51, reason=BY_HAND)
    assert (await took(deals, [close, deal(10, order=60, position=60)])).externals[0].deal.ticket == 10
    assert await deals.cursor() == close.time_msc // 1000
    await stands(ledger, "s1", Result(OrderState.INTENT))
    late = await took(deals, [deal(7, "s1"), close])
    assert [(one.deal.ticket, one.signal_id) for one in late.externals] == [(9, "s1")]
    lost = deal(11, type=SELL, entry=OUT, order=71, position=70, reason=BY_HAND)
    assert (await took(deals, [lost])).externals == []
    monkeypatch.setattr(deal_ledger, "_PATIENCE_S", 0.0)
    assert [one.signal_id for one in (await took(deals, [lost])).externals] == [""]


async def test_the_ledger_knows_who_opened_a_position_whose_deals_it_never_saw(
    ledger: Ledger, deals: DealLedger
) -> None:
    """The position bears the ticket of the order that opened it."""
    await stands(ledger, "s1", FILLED)
    taken = await took(deals, [deal(9, type=SELL, entry=OUT, order=51, reason=BY_HAND)])
    assert [(one.signal_id, one.moved) for one in taken.externals] == [("s1", Decimal("-0.3"))]


async def test_a_signal_that_is_known_too_late_reclaims_its_deals(ledger: Ledger, deals: DealLedger) -> None:
    """After the loss of a ledger the terminal's history is read before the engine hands its signals out again."""
    await deals.take([deal(7, "s1")])
    assert (await deals.holdings())[50].owner == ""
    await stands(ledger, "s1", Result(OrderState.UNKNOWN))
    await deals.reclaim([deal(7, "s1")])
    assert [one.ticket for one in await deals.marked("s1")] == [7]
    held = (await deals.holdings())[50]
    assert (held.owner, held.ours) == ("s1", Decimal("0.3"))
    closed = await took(deals, [deal(8, "s1", type=SELL, entry=OUT, order=51, reason=STOP_LOSS)])
    assert [(one.signal_id, one.moved) for one in closed.externals] == [("s1", Decimal("-0.3"))]


async def test_an_adopted_position_counts_from_then_on(deals: DealLedger) -> None:
    """It is told once, under a number that no deal has; what closes it afterwards is the person's."""
    await deals.take([deal(7, reason=BY_HAND)])
    await deals.acknowledged([7])
    position = BookPosition(50, 0, "", "EURUSD", BUY, 0.3, 1.1, identifier=50)
    for _ in range(2):
        await deals.adopt(position, "adopted-42-50", 2_000_000)
    await deals.take([deal(8, type=SELL, volume=0.1, entry=OUT, order=51, reason=BY_HAND, time_msc=3_000_000)])
    told = [(one.deal.ticket, one.cause, one.moved, one.signal_id) for one in await deals.waiting(10)]
    assert told == [
        (ADOPTED | 50, Cause.ADOPTED, Decimal("0.3"), "adopted-42-50"),
        (8, Cause.BY_HAND, Decimal("-0.1"), "adopted-42-50"),
    ]


async def test_money_paid_in_is_no_trade(deals: DealLedger) -> None:
    """It is told once, for the day's loss to be counted without it."""
    paid = deal(5, type=2, symbol="", volume=0.0, profit=500.0)
    assert (await took(deals, [paid])).payments == [Decimal("500.0")]
    assert (await took(deals, [paid])).payments == []
    assert await deals.waiting(10) == []


async def test_what_is_reclaimed_takes_no_payments(deals: DealLedger) -> None:
    """They are for a look to count: nobody would be told of one that is known already."""
    paid = deal(5, type=2, symbol="", volume=0.0, profit=500.0)
    await deals.reclaim([deal(7, "s1"), paid])
    assert (await took(deals, [paid])).payments == [Decimal("500.0")]


async def test_what_is_on_disk_is_told_though_whoever_looked_has_given_up(ledger: Ledger, deals: DealLedger) -> None:
    """The next look finds it known: nobody would hear of a stop loss, a fill, a withdrawal or an adoption."""
    await stands(ledger, "s1", Result(OrderState.UNKNOWN))
    heard: list[Taken] = []
    deals.took = heard.append
    stop = deal(8, "s1", type=SELL, entry=OUT, order=51, reason=STOP_LOSS)
    paid = deal(9, type=2, symbol="", volume=0.0, profit=-500.0)
    await given_up(deals.take([deal(7, "s1"), stop, paid]))
    await deals.take([deal(7, "s1"), stop, paid])
    assert [one.deal.ticket for one in await deals.waiting(10)] == [8]
    assert deals.news.is_set()
    taken, again = heard
    assert again == Taken()
    assert [entry.state for entry in taken.settled] == [OrderState.FILLED]
    assert taken.payments == [Decimal("-500.0")]
    deals.news.clear()
    foreign = BookPosition(60, 0, "", "EURUSD", BUY, 0.1, 1.1, identifier=60)
    await given_up(deals.adopt(foreign, "adopted-42-60", 1))
    assert await deals.count_waiting() == 2
    assert deals.news.is_set()


async def test_what_is_long_over_is_forgotten(ledger: Ledger, deals: DealLedger) -> None:
    """Flat positions and acknowledged deals of last month; what is held or waits stays."""
    await stands(ledger, "s1", FILLED)
    await deals.take([deal(7, "s1"), deal(8, "s1", type=SELL, entry=OUT, order=51, reason=STOP_LOSS)])
    await deals.take([deal(9, order=60, position=60)])
    await deals.acknowledged([8])
    await deals.forget(2**50)
    assert list(await deals.holdings()) == [60]
    assert [one.deal.ticket for one in await deals.waiting(10)] == [9]
