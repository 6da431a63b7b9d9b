"""What books prove of an order in doubt, and what return codes mean."""

from dataclasses import replace

import pytest

from mesh.orders import Kind
from pc_agent.domain.books import BookDeal, BookOrder, BookPosition, Books
from pc_agent.domain.orders import Account, Entry, OrderState, Result, Side, Signal, mark_of
from pc_agent.domain.reconciliation import ended, resolve
from pc_agent.domain.retcodes import Verdict, name, verdict

SIGNAL = Signal("s1", Account("t", 1), 1, 1, False, False, "EURUSD", Side.BUY, "0.3", "", "", 100_000)
MARK = mark_of("s1")
EMPTY = Books(1000.0, (), (), (), ())
LATE_MS = 100_000 + 60_001


def deal(ticket: int, **changes: object) -> BookDeal:
    made = BookDeal(ticket, 50, MARK.magic, MARK.comment, "EURUSD", 0, 0.1, 1.1)
    return replace(made, **changes)  # type: ignore[arg-type]


def order(state: int, **changes: object) -> BookOrder:
    made = BookOrder(50, MARK.magic, MARK.comment, "EURUSD", 0, state)
    return replace(made, **changes)  # type: ignore[arg-type]


def found(books: Books, engine_ms: int | None = LATE_MS) -> OrderState | None:
    result = resolve(SIGNAL, MARK, books, engine_ms, 60.0)
    return result.state if result else None


def test_deals_prove_execution_with_their_own_price_and_volume() -> None:
    """Volume adds up, the price is the deals' mean by volume, the ticket is the order's."""
    books = replace(EMPTY, deals=(deal(7, volume=0.2, price=1.1), deal(8, volume=0.1, price=1.4)))
    result = resolve(SIGNAL, MARK, books, None, 60.0)
    assert result
    assert (result.state, result.volume, result.price) == (OrderState.FILLED, "0.3", "1.2")
    assert (result.ticket, result.deal) == (50, 8)


def test_a_mean_price_is_a_number_that_the_contract_takes() -> None:
    """Twelve decimals at most: the database refuses more, and an order would stay UNKNOWN for ever."""
    books = replace(EMPTY, deals=(deal(7, volume=0.2, price=1.1), deal(8, volume=0.1, price=1.10001)))
    result = resolve(SIGNAL, MARK, books, None, 60.0)
    assert result
    assert result.price == "1.100003333333"


def test_less_than_the_whole_is_a_partial_fill() -> None:
    """What the deals do not add up to was not filled."""
    assert found(replace(EMPTY, deals=(deal(7),))) is OrderState.PARTIALLY_FILLED


@pytest.mark.parametrize("changes", [{"magic": 0}, {"comment": "[from broker]"}])
def test_magic_or_comment_alone_is_proof(changes: dict[str, object]) -> None:
    """A broker that drops one of them does not hide an execution."""
    assert found(replace(EMPTY, deals=(deal(7, volume=0.3, **changes),))) is OrderState.FILLED


def test_a_deal_that_closed_our_position_is_not_our_order() -> None:
    """Stops close with our magic on the other side: their volume is not ours."""
    books = replace(EMPTY, deals=(deal(7, volume=0.3), deal(9, type=1, volume=0.3, comment="[sl 1.0]")))
    result = resolve(SIGNAL, MARK, books, LATE_MS, 60.0)
    assert result
    assert (result.volume, result.deal) == ("0.3", 7)


def test_an_order_that_still_works_is_waited_for() -> None:
    """Nothing is said while the broker may still fill it, a partial fill neither."""
    assert found(replace(EMPTY, orders=(order(1),), deals=(deal(7),))) is None


def test_an_order_that_ended_without_a_deal_was_not_executed() -> None:
    """The terminal's own history says so, once the books are settled: a refused first attempt bears the same mark as
    the second one, whose answer was lost and whose deal is still to come."""
    refused = replace(EMPTY, history_orders=(order(5),))
    result = resolve(SIGNAL, MARK, refused, LATE_MS, 60.0)
    assert result
    assert (result.state, result.reason) == (OrderState.NOT_EXECUTED, "ENDED_UNFILLED")
    assert found(refused, None) is None
    assert found(refused, LATE_MS - 2) is None
    assert found(replace(refused, deals=(deal(7, volume=0.3, order=51),)), None) is OrderState.FILLED
    assert found(replace(EMPTY, history_orders=(order(4),))) is None


def test_a_position_counts_when_no_deal_is_shown_for_long() -> None:
    """It was executed; the position's price and volume stand for the deals'."""
    position = BookPosition(90, MARK.magic, MARK.comment, "EURUSD", 0, 0.3, 1.1)
    assert found(replace(EMPTY, positions=(position,)), None) is None
    assert found(replace(EMPTY, positions=(position,))) is OrderState.FILLED


@pytest.mark.parametrize(
    ("books", "engine_ms"),
    [
        (EMPTY, None),
        (EMPTY, LATE_MS - 2),
        (replace(EMPTY, connected_for_s=59.9), LATE_MS),
        (replace(EMPTY, connected_for_s=0.0), LATE_MS),
    ],
)
def test_empty_books_prove_nothing_too_soon(books: Books, engine_ms: int | None) -> None:
    """Not before not_after and the last reconnect are both past by the settling time."""
    assert found(books, engine_ms) is None
    assert found(EMPTY) is OrderState.NOT_EXECUTED


def test_another_orders_rows_prove_nothing() -> None:
    """Neither another mark nor another symbol is ours."""
    others = (deal(7, magic=1, comment="x"), deal(8, symbol="GBPUSD"))
    assert found(replace(EMPTY, deals=others)) is OrderState.NOT_EXECUTED


@pytest.mark.parametrize(
    ("retcode", "expected"),
    [
        (10008, Verdict.COMPLETE),
        (10009, Verdict.COMPLETE),
        (10010, Verdict.COMPLETE),
        (10004, Verdict.RETRY),
        (10020, Verdict.RETRY),
        (10021, Verdict.RETRY),
        (10024, Verdict.RETRY_LATER),
        (10011, Verdict.AMBIGUOUS),
        (10012, Verdict.AMBIGUOUS),
        (10028, Verdict.AMBIGUOUS),
        (10031, Verdict.AMBIGUOUS),
        (10006, Verdict.REJECTED),
        (10014, Verdict.REJECTED),
        (10019, Verdict.REJECTED),
        (99999, Verdict.REJECTED),
    ],
)
def test_return_codes_follow_the_policy(retcode: int, expected: Verdict) -> None:
    """Done, again with a fresh price, in doubt, or refused."""
    assert verdict(Kind.MARKET, retcode) is expected


def test_a_code_has_a_name() -> None:
    """Known codes by MT5's name, others by number."""
    assert (name(10019), name(99999)) == ("NO_MONEY", "RETCODE_99999")


def resolved(signal: Signal, books: Books, engine_ms: int | None = None) -> OrderState | None:
    result = resolve(signal, mark_of(signal.signal_id), books, engine_ms, 60.0)
    return result.state if result else None


def change(kind: Kind, **changes: object) -> Signal:
    return replace(SIGNAL, kind=kind, **changes)  # type: ignore[arg-type]


def test_a_pending_order_that_works_is_placed() -> None:
    """Filled in part, it is that; its type is the side's, whatever its kind."""
    limit = change(Kind.LIMIT)
    assert resolved(limit, replace(EMPTY, orders=(order(1, type=2),))) is OrderState.PLACED
    assert resolved(limit, replace(EMPTY, orders=(order(1, type=3),))) is None
    both = replace(EMPTY, orders=(order(1, type=2),), deals=(deal(7),))
    assert resolved(limit, both) is OrderState.PARTIALLY_FILLED


def test_a_close_is_proven_by_its_deal_alone() -> None:
    """Not by the position that it was to close; a stop that came first is not its deal."""
    close = change(Kind.CLOSE, side=Side.SELL, position=90)
    position = BookPosition(90, MARK.magic, MARK.comment, "EURUSD", 1, 0.3, 1.1)
    assert resolved(close, replace(EMPTY, deals=(deal(7, type=1, volume=0.3, entry=1),))) is OrderState.FILLED
    assert resolved(close, replace(EMPTY, deals=(deal(7, type=1, volume=0.3, entry=1, reason=4),))) is None
    assert resolved(close, replace(EMPTY, positions=(position,)), LATE_MS) is OrderState.NOT_EXECUTED


def test_stops_as_asked_prove_that_they_were_moved() -> None:
    """Else, once the books are settled, they were not; nor of a position that is gone."""
    modify = change(Kind.MODIFY_POSITION, position=90, stop_loss="1.05", take_profit="")
    asked = BookPosition(90, 0, "", "EURUSD", 0, 0.3, 1.1, stop_loss=1.05)
    other = replace(asked, take_profit=1.2)
    assert resolved(modify, replace(EMPTY, positions=(asked,))) is OrderState.DONE
    assert resolved(modify, replace(EMPTY, positions=(other,))) is None
    assert resolved(modify, replace(EMPTY, positions=(other,)), LATE_MS) is OrderState.NOT_EXECUTED
    assert resolved(modify, EMPTY, LATE_MS) is OrderState.NOT_EXECUTED


def test_an_order_as_asked_proves_that_it_was_changed() -> None:
    """Its price too; what was not asked of the price is not compared."""
    modify = change(Kind.MODIFY_ORDER, order_ticket=50, price="1.07", stop_loss="", take_profit="")
    assert resolved(modify, replace(EMPTY, orders=(order(1, price=1.07),))) is OrderState.DONE
    assert resolved(modify, replace(EMPTY, orders=(order(1, price=1.08),)), LATE_MS) is OrderState.NOT_EXECUTED
    assert resolved(replace(modify, price=""), replace(EMPTY, orders=(order(1, price=1.08),))) is OrderState.DONE


def test_a_changed_limit_proves_nothing_while_the_old_one_stands() -> None:
    """A stop-limit's; where none was asked of it, it is not compared."""
    modify = change(Kind.MODIFY_ORDER, order_ticket=50, price="1.07", limit_price="1.06", stop_loss="", take_profit="")
    works = order(1, price=1.07, limit_price=1.05)
    assert resolved(modify, replace(EMPTY, orders=(works,))) is None
    assert resolved(modify, replace(EMPTY, orders=(works,)), LATE_MS) is OrderState.NOT_EXECUTED
    assert resolved(modify, replace(EMPTY, orders=(replace(works, limit_price=1.06),))) is OrderState.DONE


@pytest.mark.parametrize(
    ("asked_s", "has", "ahead_s", "expected"),
    [
        (900_000, {"expires_s": 907_200, "type_time": 2}, 7_200, OrderState.DONE),
        (900_030, {"expires_s": 907_200, "type_time": 2}, 7_200, OrderState.DONE),  # the broker cut its seconds off
        (900_000, {"expires_s": 903_600, "type_time": 2}, 7_200, OrderState.NOT_EXECUTED),  # it was an hour earlier
        (900_000, {}, 7_200, OrderState.NOT_EXECUTED),
        (900_000, {"expires_s": 907_200, "type_time": 1}, 7_200, OrderState.NOT_EXECUTED),
        (900_000, {"expires_s": 907_200, "type_time": 2}, None, None),
        (0, {"expires_s": 907_200, "type_time": 2}, None, OrderState.NOT_EXECUTED),
        (0, {"expires_s": 907_200, "type_time": 1}, None, OrderState.DONE),  # the symbol has no other
        (0, {}, None, OrderState.DONE),
    ],
)
def test_a_changed_expiry_is_compared_by_the_brokers_clock(
    asked_s: int, has: dict[str, int], ahead_s: int | None, expected: OrderState | None
) -> None:
    """An order that would end at another time than was asked was not changed."""
    modify = change(Kind.MODIFY_ORDER, order_ticket=50, expires_unix_ms=asked_s * 1000)
    books = replace(EMPTY, orders=(order(1, **has),))
    result = resolve(modify, MARK, books, LATE_MS, 60.0, ahead_s)
    assert (result.state if result else None) is expected
    if expected is OrderState.NOT_EXECUTED:
        assert resolve(modify, MARK, books, None, 60.0, ahead_s) is None


def test_an_order_that_ended_unfilled_was_removed() -> None:
    """One that works on or was filled was not; one that nobody knows is gone."""
    cancel = change(Kind.CANCEL_ORDER, order_ticket=50)
    assert resolved(cancel, replace(EMPTY, history_orders=(order(2),))) is OrderState.DONE
    assert resolved(cancel, replace(EMPTY, orders=(order(1),))) is None
    assert resolved(cancel, replace(EMPTY, orders=(order(1),)), LATE_MS) is OrderState.NOT_EXECUTED
    assert resolved(cancel, replace(EMPTY, history_orders=(order(4),)), LATE_MS) is OrderState.NOT_EXECUTED
    assert resolved(cancel, EMPTY) is None
    assert resolved(cancel, EMPTY, LATE_MS) is OrderState.DONE


def test_positions_closed_by_each_other_leave_deals_of_their_own() -> None:
    """With our mark; or without it, when one order made a deal of each: another's with one of them proves nothing."""
    close_by = change(Kind.CLOSE_BY, side=None, position=90, opposite_position=91)
    left = tuple(BookPosition(ticket, 0, "", "EURUSD", 0, 0.1, 1.1, identifier=ticket) for ticket in (90, 91))
    unmarked = deal(7, magic=0, comment="", entry=3, position=90)
    assert resolved(close_by, replace(EMPTY, deals=(deal(7, entry=3, position=90),), positions=left)) is OrderState.DONE
    both = unmarked, replace(unmarked, ticket=8, position=91)
    assert resolved(close_by, replace(EMPTY, deals=both, positions=left[1:])) is OrderState.DONE
    with_others = unmarked, replace(unmarked, ticket=8, position=91, order=51)
    assert resolved(close_by, replace(EMPTY, deals=with_others)) is None
    assert resolved(close_by, replace(EMPTY, positions=left), LATE_MS) is OrderState.NOT_EXECUTED


def test_a_pending_order_ends_as_the_broker_says_with_what_was_filled() -> None:
    """Not before all its deals are shown."""
    entry = Entry(change(Kind.LIMIT), Result(OrderState.PLACED, ticket=50), 1)
    past = order(2, volume=0.3, rest=0.2)
    assert ended(entry, past, []) is None
    canceled, expired = ended(entry, past, [deal(7)]), ended(entry, replace(past, state=6), [deal(7)])
    assert canceled
    assert expired
    assert (canceled.state, canceled.volume, canceled.ticket) == (OrderState.CANCELED, "0.1", 50)
    assert (expired.state, expired.volume) == (OrderState.EXPIRED, "0.1")
    ours = ended(entry, past, [deal(7)], remover="halt-1")
    assert ours
    assert (canceled.reason, ours.reason, "halt-1" in ours.message) == ("REMOVED", "REMOVED_AS_ASKED", True)
    full = ended(entry, replace(past, state=4, rest=0.0), [deal(7, volume=0.3)])
    assert full
    assert full.state is OrderState.FILLED
    assert ended(entry, replace(past, state=1), [deal(7)]) is None
