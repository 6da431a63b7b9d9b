"""Where ledger, terminal and engine do not say the same."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from mesh.orders import PENDING_KINDS
from pc_agent.domain.attribution import ZERO, Cause, External, Holding, net_by_symbol
from pc_agent.domain.books import BookOrder, BookPosition
from pc_agent.domain.orders import Entry, OrderState

# What follows from two readings that do not fit each other for a moment, must last for so long.
SETTLE_S = 5.0
# How long it is told that something of ours was closed from outside.
TOLD_FOR_MS = 3_600_000


class DifferenceKind(StrEnum):
    """As suho.trading.v1.DifferenceKind."""

    UNKNOWN_POSITION = "UNKNOWN_POSITION"
    UNKNOWN_ORDER = "UNKNOWN_ORDER"
    MISSING_ORDER = "MISSING_ORDER"
    MISSING_POSITION = "MISSING_POSITION"
    WRONG_VOLUME = "WRONG_VOLUME"
    CLOSED_BY_STOP = "CLOSED_BY_STOP"
    CLOSED_BY_HAND = "CLOSED_BY_HAND"
    UNRESOLVED_ORDER = "UNRESOLVED_ORDER"
    ENGINE_VOLUME = "ENGINE_VOLUME"


K = DifferenceKind
_AT_ONCE = frozenset({K.CLOSED_BY_STOP, K.CLOSED_BY_HAND, K.UNRESOLVED_ORDER})
_CLOSED = {
    Cause.STOP_LOSS: (K.CLOSED_BY_STOP, "its stop loss was met"),
    Cause.TAKE_PROFIT: (K.CLOSED_BY_STOP, "its take profit was met"),
    Cause.STOP_OUT: (K.CLOSED_BY_STOP, "the broker closed it for want of margin"),
    Cause.BY_HAND: (K.CLOSED_BY_HAND, "somebody traded it by hand"),
    Cause.OTHER_PROGRAM: (K.CLOSED_BY_HAND, "another program traded it"),
}


@dataclass(frozen=True, slots=True)
class Difference:
    """`ticket` of the position or order, 0 where it is about none; `message` is for people."""

    kind: DifferenceKind
    symbol: str
    ticket: int
    signal_id: str
    message: str


@dataclass(frozen=True, slots=True)
class Sides:
    """What is compared: the terminal's books, what this agent knows of them, what the engine counts."""

    positions: tuple[BookPosition, ...]
    orders: tuple[BookOrder, ...]
    # By the position's identifier.
    holdings: Mapping[int, Holding]
    # Signals that working orders came from, by ticket.
    known_orders: Mapping[int, str]
    # Of which something is still to come.
    open_entries: tuple[Entry, ...]
    # Doubts that have lasted for too long.
    unresolved: tuple[Entry, ...]
    # Of late, newest last.
    externals: tuple[External, ...]
    # Lots by symbol; None: the engine has not said, or has not heard all of it yet.
    engine: Mapping[str, Decimal] | None


def differences(sides: Sides) -> list[Difference]:
    """All of them, whether they last or not."""
    return [
        *_positions(sides),
        *_orders(sides),
        *(_closed(external) for external in sides.externals if external.moved and external.cause in _CLOSED),
        *(_unresolved(entry) for entry in sides.unresolved),
        *_engine(sides),
    ]


def _positions(sides: Sides) -> Iterable[Difference]:
    there = {position.identifier: position for position in sides.positions}
    for identifier, position in there.items():
        holding = sides.holdings.get(identifier)
        symbol, ticket = position.symbol, position.ticket
        if holding is None or not (holding.owner or holding.ours):
            words = f"{position.signed:+f} lots that nobody here asked for; `suho agent adopt {ticket}` takes them over"
            yield Difference(K.UNKNOWN_POSITION, symbol, ticket, "", words)
        elif holding.total != position.signed:
            words = f"its deals come to {holding.total:+f} lots, the terminal holds {position.signed:+f}"
            yield Difference(K.WRONG_VOLUME, symbol, ticket, holding.owner, words)
        elif not holding.owner:
            words = f"{holding.ours:+f} lots of a foreign position of {position.signed:+f} are ours"
            yield Difference(K.UNKNOWN_POSITION, symbol, ticket, holding.sharer, words)
    for identifier, holding in sides.holdings.items():
        if holding.ours and identifier not in there:
            words = f"the ledger holds {holding.ours:+f} lots, the terminal does not have the position"
            yield Difference(K.MISSING_POSITION, holding.symbol, identifier, holding.owner or holding.sharer, words)


def _orders(sides: Sides) -> Iterable[Difference]:
    there = {order.ticket for order in sides.orders}
    for order in sides.orders:
        if order.ticket not in sides.known_orders:
            words = f"{order.rest:g} lots wait at {order.price:g} that nobody here asked for"
            yield Difference(K.UNKNOWN_ORDER, order.symbol, order.ticket, "", words)
    working = (OrderState.PLACED, OrderState.PARTIALLY_FILLED)
    for entry in sides.open_entries:
        ticket, signal = entry.result.ticket, entry.signal
        if signal.kind in PENDING_KINDS and entry.state in working and ticket not in there:
            words = "the ledger says that it waits at the broker, the terminal does not have it"
            yield Difference(K.MISSING_ORDER, signal.symbol, ticket, signal.signal_id, words)


def _closed(external: External) -> Difference:
    kind, words = _CLOSED[external.cause]
    deal = external.deal
    return Difference(kind, deal.symbol, deal.position, external.signal_id, f"{external.moved:+f} lots: {words}")


def _unresolved(entry: Entry) -> Difference:
    signal = entry.signal
    words = (
        f"it may have been executed ({entry.result.reason}); {signal.symbol} is frozen until the books tell, or a"
        f" person does: `suho agent resolve {signal.signal_id} --filled VOLUME@PRICE`, or `--not-executed`"
    )
    return Difference(K.UNRESOLVED_ORDER, signal.symbol, entry.result.ticket, signal.signal_id, words)


def _engine(sides: Sides) -> Iterable[Difference]:
    if sides.engine is None:
        return
    ours = net_by_symbol(sides.holdings)
    for symbol in sorted(ours.keys() | sides.engine.keys()):
        here, there = ours.get(symbol, ZERO), sides.engine.get(symbol, ZERO)
        if here != there:
            words = f"the engine counts {there:+f} lots, here it is {here:+f}"
            yield Difference(K.ENGINE_VOLUME, symbol, 0, "", words)


class Lasting:
    """Differences since when: those that last, each from when it was first seen."""

    def __init__(self) -> None:
        # By what it is about; its words may change meanwhile.
        self._since: dict[tuple[DifferenceKind, str, int, str], int] = {}

    def note(self, found: Iterable[Difference], now_unix_ms: int) -> list[tuple[Difference, int]]:
        """What is to be told, with its beginning."""
        seen = {(one.kind, one.symbol, one.ticket, one.signal_id): one for one in found}
        self._since = {key: self._since.get(key, now_unix_ms) for key in seen}
        return [
            (one, self._since[key])
            for key, one in seen.items()
            if one.kind in _AT_ONCE or now_unix_ms - self._since[key] >= SETTLE_S * 1000
        ]
