"""Which report moves an order, and what that does to the account's exposure."""

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from types import MappingProxyType
from typing import NamedTuple

from services.database.domain.order import Order, Report, Side, State, Times

S = State

# A deal is proof, and proof beats a conclusion: an order called dead becomes FILLED when its deal turns up, and
# nothing takes a fill back.
_FILLS = frozenset({S.PARTIALLY_FILLED, S.FILLED})
_DEAD = frozenset({S.REJECTED, S.EXPIRED, S.NOT_EXECUTED})

TRANSITIONS: Mapping[State, frozenset[State]] = MappingProxyType(
    {
        S.DENIED: frozenset(),
        S.PENDING: frozenset({S.ACCEPTED, S.UNKNOWN}) | _FILLS | _DEAD,
        S.ACCEPTED: frozenset({S.UNKNOWN}) | _FILLS | _DEAD,
        S.UNKNOWN: frozenset({S.REJECTED, S.NOT_EXECUTED}) | _FILLS,
        S.PARTIALLY_FILLED: _FILLS,
        S.FILLED: frozenset(),
        S.REJECTED: _FILLS,
        S.EXPIRED: _FILLS,
        S.NOT_EXECUTED: _FILLS,
    }
)

# Market orders only: what a partial fill leaves over is cancelled by the terminal, so nothing more comes.
OPEN = frozenset({S.PENDING, S.ACCEPTED, S.UNKNOWN})


class ExposureChange(NamedTuple):
    net_volume: Decimal
    open_orders: int
    unknown_orders: int


def moved(order: Order, report: Report, recorded_unix_ns: int) -> Order:
    """The order after the report: in the report's state when that may follow, else only with times it lacked."""
    times = _merged(order.times, report, recorded_unix_ns)
    if report.state not in TRANSITIONS[order.state] or report.filled_volume < order.filled_volume:
        return replace(order, times=times)
    return replace(
        order,
        state=report.state,
        reason=report.reason,
        message=report.message,
        ticket=report.ticket or order.ticket,
        deal=report.deal or order.deal,
        filled_volume=report.filled_volume,
        filled_price=report.filled_price or order.filled_price,
        retcode=report.retcode,
        times=times,
    )


def exposure_change(before: Order | None, after: Order) -> ExposureChange:
    """What the account's exposure gains when `before` becomes `after`; None: it is new."""
    old = _share(before) if before else ExposureChange(Decimal(0), 0, 0)
    new = _share(after)
    return ExposureChange(
        new.net_volume - old.net_volume, new.open_orders - old.open_orders, new.unknown_orders - old.unknown_orders
    )


def _share(order: Order) -> ExposureChange:
    signed = order.filled_volume if order.side is Side.BUY else -order.filled_volume
    return ExposureChange(signed, int(order.state in OPEN), int(order.state is S.UNKNOWN))


def _merged(times: Times, report: Report, recorded_unix_ns: int) -> Times:
    return replace(
        times,
        recorded=recorded_unix_ns,
        received=report.received or times.received,
        intent=report.intent or times.intent,
        called=report.called or times.called,
        answered=report.answered or times.answered,
    )
