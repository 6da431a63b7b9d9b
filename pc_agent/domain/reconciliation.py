"""What the terminal's books prove of an order in doubt, and of a pending order that the broker works on."""

from collections.abc import Iterable
from decimal import Decimal

from mesh.orders import PENDING_KINDS, Kind
from pc_agent.domain.books import (
    ENTRY_OUT_BY,
    ORDER_CANCELED,
    ORDER_EXPIRED,
    ORDER_REJECTED,
    REASON_STOP_LOSS,
    REASON_STOP_OUT,
    REASON_TAKE_PROFIT,
    TIME_DAY,
    BookDeal,
    BookOrder,
    BookPosition,
    Books,
    lots,
)
from pc_agent.domain.orders import Entry, Mark, OrderState, Result, Side, Signal, plain

_ENDED_UNFILLED = frozenset({ORDER_CANCELED, ORDER_REJECTED, ORDER_EXPIRED})
_STOPS = frozenset({REASON_STOP_LOSS, REASON_TAKE_PROFIT, REASON_STOP_OUT})
_CLOSE_BY_TYPE = 8
# Prices are doubles: two that differ by less are the same price.
_SAME_PRICE = 1e-9
# Brokers may cut the seconds off a time.
_SAME_MINUTE_S = 60


def resolve(
    signal: Signal, mark: Mark, books: Books, now_unix_ms: int | None, settle_s: float, ahead_s: int | None = None
) -> Result | None:
    """What became of `signal`; None: it can not be told yet.

    `now_unix_ms`: on the clock of the signal's `not_after`. None, when that is not known or when the books do not
    show all of the past: then nothing is concluded from what they do not show. `ahead_s`: what the trade server's clock
    shows more than that one; None: not known.
    """
    settled = now_unix_ms is not None and _is_settled(signal, books, now_unix_ms, settle_s)
    match signal.kind:
        case Kind.MODIFY_POSITION:
            return _position_modified(signal, books, settled)
        case Kind.MODIFY_ORDER:
            return _order_modified(signal, books, settled, ahead_s)
        case Kind.CANCEL_ORDER:
            return _order_gone(signal, books, settled)
        case Kind.CLOSE_BY:
            return _closed_by(signal, mark, books, settled)
        case _:
            return _traded(signal, mark, books, settled)


def filled(signal: Signal, deals: Iterable[BookDeal], reason: str = "RECONCILED") -> Result:
    """As its `deals` (at least one) say; the price is their mean by volume."""
    rows = sorted(deals, key=lambda deal: deal.ticket)
    volume = sum((lots(deal.volume) for deal in rows), Decimal(0))
    value = sum((lots(deal.volume) * Decimal(repr(float(deal.price))) for deal in rows), Decimal(0))
    whole = not signal.volume or volume >= Decimal(signal.volume)
    return Result(
        OrderState.FILLED if whole else OrderState.PARTIALLY_FILLED,
        reason,
        "found in the terminal's deals",
        ticket=rows[-1].order,
        deal=rows[-1].ticket,
        volume=plain(float(volume)),
        price=plain(float(value / volume)),
    )


def ended(entry: Entry, order: BookOrder, deals: Iterable[BookDeal], remover: str = "") -> Result | None:
    """What became of a pending order that works no more; None: its deals are not all shown yet.

    `order` is what the terminal's history says of it, `deals` are its own, `remover` is the signal that removes it.
    """
    rows = list(deals)
    shown = sum((lots(deal.volume) for deal in rows), Decimal(0))
    if shown < lots(order.volume) - lots(order.rest):
        return None
    sofar = filled(entry.signal, rows, "PENDING_FILLED") if rows else Result(OrderState.CANCELED)
    if sofar.state is OrderState.FILLED:
        return sofar
    removed = (
        (OrderState.CANCELED, "REMOVED_AS_ASKED", f"it was removed by our signal {remover}")
        if remover
        else (OrderState.CANCELED, "REMOVED", "it was removed, by hand or by the broker")
    )
    state, reason, words = {
        ORDER_EXPIRED: (OrderState.EXPIRED, "EXPIRED_AT_BROKER", "the broker dropped it: its time was over"),
        ORDER_REJECTED: (OrderState.CANCELED, "REJECTED_BY_BROKER", "the broker threw it out"),
        ORDER_CANCELED: removed,
    }.get(order.state, (None, "", ""))
    if state is None:
        return None
    return Result(state, reason, words, order.ticket, sofar.deal, sofar.volume, sofar.price)


def is_marked(row: BookOrder | BookDeal | BookPosition, mark: Mark) -> bool:
    """Brokers overwrite comments and some drop magics: either proves it is ours."""
    return row.magic == mark.magic or row.comment == mark.comment


def _is_settled(signal: Signal, books: Books, now_unix_ms: int, settle_s: float) -> bool:
    return books.connected_for_s >= settle_s and now_unix_ms > signal.not_after_unix_ms + settle_s * 1000


def _traded(signal: Signal, mark: Mark, books: Books, settled: bool) -> Result | None:
    def is_ours(row: BookOrder | BookDeal | BookPosition) -> bool:
        # A deal that closes our position at its stop bears our magic too, but goes the other way.
        fits = signal.side is None or row.type % 2 == (0 if signal.side is Side.BUY else 1)
        return fits and is_marked(row, mark) and row.symbol == signal.symbol and row.type != _CLOSE_BY_TYPE

    working = [order for order in books.orders if is_ours(order)]
    deals = [deal for deal in books.deals if is_ours(deal) and deal.reason not in _STOPS]
    if working and signal.kind not in PENDING_KINDS:
        return None  # it still works at the broker
    if deals:
        return filled(signal, deals)
    if working:
        return Result(OrderState.PLACED, "RECONCILED", "found among the terminal's orders", ticket=working[0].ticket)
    # An attempt that the broker refused bears the same mark as the next one, which may still be on its way.
    if not settled:
        return None
    past = [order for order in books.history_orders if is_ours(order)]
    if past:
        if all(order.state in _ENDED_UNFILLED for order in past):
            message = f"the terminal's history holds it in state {past[-1].state}, without a deal"
            return Result(OrderState.NOT_EXECUTED, "ENDED_UNFILLED", message, ticket=past[-1].ticket)
        return None
    positions = [position for position in books.positions if is_ours(position)]
    if positions and signal.kind is not Kind.CLOSE:
        return _held(positions[0])
    return Result(OrderState.NOT_EXECUTED, "NOT_IN_BOOKS", "no order, deal or position of the terminal bears it")


def _held(position: BookPosition) -> Result:
    return Result(
        OrderState.FILLED,
        "RECONCILED",
        "found in the terminal's positions; its deals are not shown",
        ticket=position.ticket,
        volume=plain(position.volume),
        price=plain(position.price_open),
    )


def _position_modified(signal: Signal, books: Books, settled: bool) -> Result | None:
    held = next((position for position in books.positions if position.ticket == signal.position), None)
    if held and _are_asked(signal, held.stop_loss, held.take_profit):
        return _done("the position's stops are as asked", signal.position)
    if not settled:
        return None
    return _undone("the position's stops are not as asked" if held else "the position is not there any more")


def _order_modified(signal: Signal, books: Books, settled: bool, ahead_s: int | None) -> Result | None:
    order = next((order for order in books.orders if order.ticket == signal.order_ticket), None)
    if order and _has_prices_asked(signal, order):
        ends = _ends_as_asked(signal, order, ahead_s)
        if ends is None:
            return None
        if ends:
            return _done("the order is as asked", signal.order_ticket)
    if not settled:
        return None
    return _undone("the order is not as asked" if order else "the order works no more")


def _has_prices_asked(signal: Signal, order: BookOrder) -> bool:
    waits = _is_asked(signal.price, order.price) and _is_asked(signal.limit_price, order.limit_price)
    return waits and _are_asked(signal, order.stop_loss, order.take_profit)


def _ends_as_asked(signal: Signal, order: BookOrder, ahead_s: int | None) -> bool | None:
    """None: it can not be told without the trade server's clock."""
    if not signal.expires_unix_ms:  # for the day, where the symbol has no other
        return not order.expires_s or order.type_time == TIME_DAY
    if not order.expires_s or order.type_time == TIME_DAY:
        return False
    if ahead_s is None:
        return None
    return abs(signal.expires_unix_ms // 1000 + ahead_s - order.expires_s) < _SAME_MINUTE_S


def _order_gone(signal: Signal, books: Books, settled: bool) -> Result | None:
    if any(order.ticket == signal.order_ticket for order in books.orders):
        return _undone("the order still works") if settled else None
    past = next((order for order in books.history_orders if order.ticket == signal.order_ticket), None)
    if past and past.state in _ENDED_UNFILLED:
        return _done("the order works no more", signal.order_ticket)
    if not settled:
        return None
    return _undone("the order was filled") if past else _done("the order is not there any more", signal.order_ticket)


def _closed_by(signal: Signal, mark: Mark, books: Books, settled: bool) -> Result | None:
    pair = (signal.position, signal.opposite_position)
    both = [deal for deal in books.deals if deal.entry == ENTRY_OUT_BY and deal.position in pair]
    # One order makes a deal of each, whether the broker kept its mark or not.
    orders = [{deal.order for deal in both if deal.position == one} for one in pair]
    found = {deal.order for deal in both if is_marked(deal, mark)} | (orders[0] & orders[1])
    if found:
        return _done("the positions were closed by each other", max(found))
    return _undone("the positions were not closed by each other") if settled else None


def _are_asked(signal: Signal, stop_loss: float, take_profit: float) -> bool:
    return _is_asked(signal.stop_loss or "0", stop_loss) and _is_asked(signal.take_profit or "0", take_profit)


def _is_asked(asked: str, price: float) -> bool:
    """`asked` empty: nothing was asked of it."""
    return not asked or abs(float(asked) - price) < _SAME_PRICE


def _done(message: str, ticket: int) -> Result:
    return Result(OrderState.DONE, "RECONCILED", message, ticket=ticket)


def _undone(message: str) -> Result:
    return Result(OrderState.NOT_EXECUTED, "NOT_IN_BOOKS", message)
