"""What the terminal's books prove of an order in doubt."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from pc_agent.domain.orders import Mark, OrderState, Result, Side, Signal, plain

# MT5's numbers: order states that end without execution.
_ENDED_UNFILLED = frozenset({2, 5, 6})  # CANCELED, REJECTED, EXPIRED


@dataclass(frozen=True, slots=True)
class BookOrder:
    """An order, working or past."""

    ticket: int
    magic: int
    comment: str
    symbol: str
    type: int
    state: int


@dataclass(frozen=True, slots=True)
class BookDeal:
    ticket: int
    order: int
    magic: int
    comment: str
    symbol: str
    type: int
    volume: float
    price: float


@dataclass(frozen=True, slots=True)
class BookPosition:
    ticket: int
    magic: int
    comment: str
    symbol: str
    type: int
    volume: float
    price_open: float


@dataclass(frozen=True, slots=True)
class Books:
    """All four books, read by a worker that holds the terminal's lock: an earlier worker is dead.

    `connected_for_s`: since when the terminal had its broker all the time; 0 while it has not.
    """

    connected_for_s: float
    orders: tuple[BookOrder, ...]
    history_orders: tuple[BookOrder, ...]
    deals: tuple[BookDeal, ...]
    positions: tuple[BookPosition, ...]


def resolve(signal: Signal, mark: Mark, books: Books, engine_unix_ms: int | None, settle_s: float) -> Result | None:
    """What became of `signal`; None: it can not be told yet.

    `engine_unix_ms` None: the engine's clock is not known, so nothing is known to be past.
    """
    # Brokers overwrite comments and some drop magics: either proves it is ours. A deal that closes our position at
    # its stop bears our magic too, but goes the other way.
    want = 0 if signal.side is Side.BUY else 1

    def is_ours(row: BookOrder | BookDeal | BookPosition) -> bool:
        same = row.magic == mark.magic or row.comment == mark.comment
        return same and row.symbol == signal.symbol and row.type == want

    if any(is_ours(order) for order in books.orders):
        return None  # it still works at the broker
    deals = [deal for deal in books.deals if is_ours(deal)]
    if deals:
        return _filled(signal, deals)
    # An attempt that the broker refused bears the same mark as the next one, which may still be on its way.
    if not _is_settled(signal, books, engine_unix_ms, settle_s):
        return None
    past = [order for order in books.history_orders if is_ours(order)]
    if past:
        if all(order.state in _ENDED_UNFILLED for order in past):
            message = f"the terminal's history holds it in state {past[-1].state}, without a deal"
            return Result(OrderState.NOT_EXECUTED, "ENDED_UNFILLED", message, ticket=past[-1].ticket)
        return None
    positions = [position for position in books.positions if is_ours(position)]
    if positions:
        return _held(positions[0])
    return Result(OrderState.NOT_EXECUTED, "NOT_IN_BOOKS", "no order, deal or position of the terminal bears it")


def _is_settled(signal: Signal, books: Books, engine_unix_ms: int | None, settle_s: float) -> bool:
    if engine_unix_ms is None or books.connected_for_s < settle_s:
        return False
    return engine_unix_ms > signal.not_after_unix_ms + settle_s * 1000


def _filled(signal: Signal, deals: Iterable[BookDeal]) -> Result:
    rows = sorted(deals, key=lambda deal: deal.ticket)
    volume = sum((Decimal(repr(deal.volume)) for deal in rows), Decimal(0))
    value = sum((Decimal(repr(deal.volume)) * Decimal(repr(deal.price)) for deal in rows), Decimal(0))
    whole = volume >= Decimal(signal.volume)
    return Result(
        OrderState.FILLED if whole else OrderState.PARTIALLY_FILLED,
        "RECONCILED",
        "found in the terminal's deals",
        ticket=rows[-1].order,
        deal=rows[-1].ticket,
        volume=plain(float(volume)),
        price=plain(float(value / volume)),
    )


def _held(position: BookPosition) -> Result:
    return Result(
        OrderState.FILLED,
        "RECONCILED",
        "found in the terminal's positions; its deals are not shown",
        ticket=position.ticket,
        volume=plain(position.volume),
        price=plain(position.price_open),
    )
