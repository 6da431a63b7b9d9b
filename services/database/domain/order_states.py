"""Which report moves an order, and what that does to the account's exposure."""

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from types import MappingProxyType
from typing import NamedTuple

from mesh.orders import PENDING_KINDS, TRADES
from services.database.domain.order import Order, Report, Side, State

S = State

# A deal is proof, and proof beats a conclusion: an order called dead becomes FILLED when its deal turns up, and
# nothing takes a fill back. A redelivered signal is UNKNOWN at once: REJECTED or EXPIRED is the word of the ledger that
# had it first, which knows that it was not executed.
_FILLS = frozenset({S.PARTIALLY_FILLED, S.FILLED})
_DEAD = frozenset({S.REJECTED, S.EXPIRED, S.NOT_EXECUTED, S.CANCELED})

TRANSITIONS: Mapping[State, frozenset[State]] = MappingProxyType(
    {
        S.DENIED: frozenset(),
        S.PENDING: frozenset({S.ACCEPTED, S.UNKNOWN, S.PLACED, S.DONE}) | _FILLS | _DEAD,
        S.ACCEPTED: frozenset({S.UNKNOWN, S.PLACED, S.DONE}) | _FILLS | _DEAD,
        S.UNKNOWN: frozenset({S.PLACED, S.DONE}) | _FILLS | _DEAD,
        S.PLACED: frozenset({S.UNKNOWN, S.REJECTED, S.EXPIRED, S.CANCELED}) | _FILLS,
        S.PARTIALLY_FILLED: _FILLS,
        S.FILLED: frozenset(),
        S.REJECTED: _FILLS,
        S.EXPIRED: _FILLS,
        S.NOT_EXECUTED: _FILLS,
        S.CANCELED: _FILLS,
        S.DONE: frozenset(),
    }
)


class ExposureChange(NamedTuple):
    net_volume: Decimal
    open_orders: int
    unknown_orders: int


def moved(order: Order, report: Report, recorded_unix_ns: int) -> Order:
    """The order after the report: in the report's state when that may follow, else only with what it lacked."""
    times = order.times.completed(replace(report.times, recorded=recorded_unix_ns))
    if report.state in _FILLS and report.filled_volume < order.filled_volume:
        return replace(order, times=times)
    if _late_part(order, report):
        return replace(
            order,
            deal=report.deal or order.deal,
            filled_volume=report.filled_volume,
            filled_price=report.filled_price,
            times=times,
        )
    if not _follows(order, report):
        return replace(order, times=times)
    return replace(
        order,
        state=report.state,
        reason=report.reason,
        message=report.message,
        ticket=report.ticket or order.ticket,
        deal=report.deal or order.deal,
        filled_volume=max(report.filled_volume, order.filled_volume),
        filled_price=report.filled_price or order.filled_price,
        retcode=report.retcode,
        times=times,
    )


def _late_part(order: Order, report: Report) -> bool:
    """A pending order is over and stays it; what was filled of it before counts all the same."""
    return order.kind in PENDING_KINDS and order.state in _DEAD and report.state is S.PARTIALLY_FILLED


def _follows(order: Order, report: Report) -> bool:
    if order.kind in PENDING_KINDS and order.state is S.PARTIALLY_FILLED:
        return report.state in _FILLS | {S.CANCELED, S.EXPIRED, S.REJECTED}
    return report.state in TRANSITIONS[order.state]


def exposure_change(before: Order | None, after: Order) -> ExposureChange:
    """What the account's exposure gains when `before` becomes `after`; None: it is new."""
    old = _share(before) if before else ExposureChange(Decimal(0), 0, 0)
    new = _share(after)
    return ExposureChange(
        new.net_volume - old.net_volume, new.open_orders - old.open_orders, new.unknown_orders - old.unknown_orders
    )


def closing_shares(held: Mapping[str, Decimal], holder: str, moved: Decimal) -> Mapping[str, Decimal]:
    """From whose exposure a deal takes that closes a position which several hold together (netting).

    Args:
        held: Net lots of the symbol by strategy.
        holder: Who opened the position: it is first to be closed, and bears what is left over.
        moved: Signed lots of the deal.
    """
    shares: dict[str, Decimal] = {}
    rest = moved
    for strategy in sorted(held, key=lambda name: (name != holder, name)):
        net = held[strategy]
        if net * rest < 0:
            shares[strategy] = rest if abs(rest) <= abs(net) else -net
            rest -= shares[strategy]
    if rest:
        shares[holder] = shares.get(holder, Decimal(0)) + rest
    return shares


def signed(side: Side | None, volume: Decimal) -> Decimal:
    return -volume if side is Side.SELL else volume


def _share(order: Order) -> ExposureChange:
    net = signed(order.side, order.filled_volume) if order.kind in TRADES else Decimal(0)
    return ExposureChange(net, int(order.is_open), int(order.state is S.UNKNOWN))
