"""What an intent about a ticket leaves out, the agent's books say."""

from collections import defaultdict
from dataclasses import replace
from decimal import Decimal

from mesh.orders import Kind
from services.trading_engine.domain.order import AccountView, Books, HeldPosition, Intent, WorkingOrder

# They name their position or order, and thereby its symbol.
_BY_TICKET = frozenset({Kind.CLOSE, Kind.CLOSE_BY, Kind.MODIFY_POSITION, Kind.MODIFY_ORDER, Kind.CANCEL_ORDER})


class UnknownTicketError(Exception):
    """The agent has no such position or order; the message says which."""


def to_be_found(kind: Kind) -> frozenset[str]:
    """Fields that may be left out."""
    if kind is Kind.CLOSE:
        return frozenset({"symbol", "side", "volume"})
    return frozenset({"symbol"}) if kind in _BY_TICKET else frozenset()


def is_whole(intent: Intent) -> bool:
    """Nothing has to be looked up."""
    return bool(intent.symbol) and (intent.kind is not Kind.CLOSE or None not in (intent.side, intent.volume))


def completed(intent: Intent, books: Books) -> Intent:
    """With its symbol; of a CLOSE with side and volume of what closes the whole position.

    Raises:
        UnknownTicketError
    """
    if intent.order_ticket:
        order = books.orders.get(intent.order_ticket)
        if order is None:
            raise UnknownTicketError(
                f"the agent knows no pending order {intent.order_ticket} of account {intent.account}"
            )
        return replace(intent, symbol=intent.symbol or order.symbol)
    position = books.positions.get(intent.position)
    if position is None:
        raise UnknownTicketError(f"the agent knows no position {intent.position} of account {intent.account}")
    if intent.kind is not Kind.CLOSE:
        return replace(intent, symbol=intent.symbol or position.symbol)
    return replace(
        intent,
        symbol=intent.symbol or position.symbol,
        side=intent.side or position.side.opposite,
        volume=position.volume if intent.volume is None else intent.volume,
    )


def asks_the_same(asked: Intent, whole: Intent) -> bool:
    """Whether `whole` is what `asked` became; what was left out may be anything."""
    filled = replace(
        asked,
        symbol=asked.symbol or whole.symbol,
        side=whole.side if asked.side is None else asked.side,
        volume=whole.volume if asked.volume is None else asked.volume,
        submitted_unix_ns=whole.submitted_unix_ns,
        not_after_unix_ms=whole.not_after_unix_ms,
    )
    return filled == whole


def ours(books: Books) -> list[HeldPosition]:
    """Positions that our signals opened or a person adopted."""
    return [position for position in books.positions.values() if position.signal_id]


def our_orders(books: Books) -> list[WorkingOrder]:
    """Pending orders that our signals placed."""
    return [order for order in books.orders.values() if order.signal_id]


def shows_what_counts(view: AccountView) -> bool:
    """The books hold of each symbol what the engine counts: no fill is on its way to either."""
    shown: dict[str, Decimal] = defaultdict(Decimal)
    for held in ours(view.books or Books()):
        shown[held.symbol] += held.volume * held.side.sign
    symbols = shown.keys() | {exposure.symbol for exposure in view.exposures}
    return all(shown[symbol] == view.total(symbol).net_volume for symbol in symbols)
