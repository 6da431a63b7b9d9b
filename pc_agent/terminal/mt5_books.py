"""Reading a terminal's books through a module shaped like the MetaTrader5 package."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from pc_agent.domain.books import BookDeal, BookOrder, BookPosition, Books, Money
from pc_agent.domain.orders import Mark
from pc_agent.terminal.messages import ReadBooks
from pc_agent.terminal.mt5_session import BrokerLink, answered, needed

# The last second that the package can be asked for: what is newest stands before it, however wrong the PC's clock is.
_END_S = 2**31 - 1
# Rows of the past that one reading takes at most, unless they are of one second: an order waits behind it.
_MOST_ROWS = 200
# How far a page reaches where there is more than one, when nothing is known of the past's density.
_FIRST_SPAN_S = 64


def read_books(mt5: Any, broker: BrokerLink, command: ReadBooks, between: Callable[[], None] = lambda: None) -> Books:
    """What is open and a page of the past, connected before and after; orders go `between` two questions.

    None goes into the picture itself. What is traded while that is taken is met on its way from the orders over the
    deals to the positions, so nothing is missed that was open before. What single tickets became is asked behind it.

    Raises:
        TerminalGoneError: one of the books could not be read, or they are another account's.
    """
    broker.check()
    since, until, next_s = _page(mt5, command, between)
    between()
    orders = needed(mt5, mt5.orders_get(), "orders_get")
    deals = list(needed(mt5, mt5.history_deals_get(since, until), "history_deals_get"))
    history: list[Any] = []
    if command.marks:
        history = list(needed(mt5, mt5.history_orders_get(since, until), "history_orders_get"))
    positions = needed(mt5, mt5.positions_get(), "positions_get")
    account = needed(mt5, mt5.account_info(), "account_info")
    between()
    for ticket in command.orders:
        history += answered(mt5, mt5.history_orders_get(ticket=ticket), "history_orders_get") or ()
        deals += answered(mt5, mt5.history_deals_get(ticket=ticket), "history_deals_get") or ()
        between()
    quote = answered(mt5, mt5.symbol_info_tick(command.quote_of), "symbol_info_tick") if command.quote_of else None
    return Books(
        connected_for_s=broker.check(),
        orders=tuple(_order(row) for row in orders),
        history_orders=tuple(_order(row) for row in _once(history) if _is_wanted(row, row.ticket, command)),
        deals=tuple(_deal(row) for row in _once(deals) if _is_wanted(row, row.order, command)),
        positions=tuple(_position(row) for row in positions),
        money=Money(account.balance, account.equity, account.margin, account.margin_free),
        server_s=quote.time if quote else 0,
        next_s=next_s,
    )


def _page(mt5: Any, command: ReadBooks, between: Callable[[], None]) -> tuple[datetime, datetime, int]:
    """From when to when (both included), and where the next page begins; 0: there is none."""
    from_s, to_s = max(command.from_s, 1), _END_S  # 0 means something else to the package
    if _rows(mt5, command, from_s, to_s) > _MOST_ROWS:
        to_s = min(from_s + (command.span_s or _FIRST_SPAN_S), _END_S)
        while to_s > from_s and _rows(mt5, command, from_s, to_s) > _MOST_ROWS:
            between()
            to_s = (from_s + to_s) // 2
    return _moment(from_s), _moment(to_s), 0 if to_s == _END_S else to_s + 1


def _rows(mt5: Any, command: ReadBooks, from_s: int, to_s: int) -> int:
    span = _moment(from_s), _moment(to_s)
    rows = int(needed(mt5, mt5.history_deals_total(*span), "history_deals_total"))
    if command.marks:
        rows += int(needed(mt5, mt5.history_orders_total(*span), "history_orders_total"))
    return rows


def _moment(server_s: int) -> datetime:
    return datetime.fromtimestamp(server_s, UTC)


def _once(rows: Iterable[Any]) -> Iterable[Any]:
    return {row.ticket: row for row in rows}.values()


def _is_wanted(row: Any, order: int, command: ReadBooks) -> bool:
    if not command.marks and not command.orders:
        return True
    return order in command.orders or _is_marked(row, command.marks)


def _is_marked(row: Any, marks: tuple[Mark, ...]) -> bool:
    return any(row.magic == mark.magic or row.comment == mark.comment for mark in marks)


def _order(row: Any) -> BookOrder:
    return BookOrder(
        ticket=row.ticket,
        magic=row.magic,
        comment=row.comment,
        symbol=row.symbol,
        type=row.type,
        state=row.state,
        position=row.position_id,
        volume=row.volume_initial,
        rest=row.volume_current,
        price=row.price_open,
        limit_price=row.price_stoplimit,
        stop_loss=row.sl,
        take_profit=row.tp,
        expires_s=row.time_expiration,
        type_time=row.type_time,
    )


def _deal(row: Any) -> BookDeal:
    return BookDeal(
        ticket=row.ticket,
        order=row.order,
        magic=row.magic,
        comment=row.comment,
        symbol=row.symbol,
        type=row.type,
        volume=row.volume,
        price=row.price,
        entry=row.entry,
        position=row.position_id,
        reason=row.reason,
        profit=row.profit,
        commission=row.commission + row.fee,
        swap=row.swap,
        time_msc=row.time_msc,
    )


def _position(row: Any) -> BookPosition:
    return BookPosition(
        ticket=row.ticket,
        magic=row.magic,
        comment=row.comment,
        symbol=row.symbol,
        type=row.type,
        volume=row.volume,
        price_open=row.price_open,
        identifier=row.identifier,
        stop_loss=row.sl,
        take_profit=row.tp,
        price=row.price_current,
        profit=row.profit,
        swap=row.swap,
        opened_msc=row.time_msc,
    )
