"""What people may take out of service, and what would be left."""

import difflib
from bisect import bisect
from collections.abc import Iterable

from hub.domain.admission import MAX_TEXT, AdmissionError, admit_text
from hub.domain.drain import Drain, Target
from hub.domain.instance import GRPC_ADDRESS, Instance
from hub.domain.standing import is_about
from hub.domain.status import Status

_COMPARED = 200
_ORDERED = (Status.DRAINING, Status.OUT_OF_SERVICE)


class UnknownTargetError(Exception):
    """Nothing of that name is there; the text says what is."""


class LastEndpointError(Exception):
    """Services would have nothing left; the text names them."""

    def __init__(self, services: Iterable[str]) -> None:
        self.services = tuple(sorted(services))
        super().__init__(
            f"nothing that is UP would be left of {' and '.join(self.services)}, so that callers would fail; start "
            "another instance first, or give the order with `force`"
        )


def admit_order(order: Drain) -> None:
    """Check an order.

    Raises:
        AdmissionError: naming what is wrong.
    """
    if order.status not in _ORDERED:
        raise AdmissionError(f"an order makes instances {' or '.join(_ORDERED)}, not {order.status}")
    admit_target(order.target, order.by)
    admit_text("reason", order.reason)


def admit_target(target: Target, by: str) -> None:
    """Check what an order is about, and who gives it or takes it back.

    Raises:
        AdmissionError: naming what is wrong.
    """
    if len(target.name) > MAX_TEXT:
        raise AdmissionError(f"no {target.kind} has a name of more than {MAX_TEXT} characters")
    admit_text("by", by)


def affected(target: Target, instances: Iterable[Instance]) -> tuple[str, ...]:
    """Ids of the instances that an order holds for."""
    return tuple(instance.id for instance in instances if is_about(target, instance))


def taken(target: Target, instances: Iterable[Instance]) -> frozenset[str]:
    """Services that an order takes endpoints from."""
    return frozenset(
        instance.service
        for instance in instances
        if is_about(target, instance)
        and (instance.status is Status.UP or instance.doubted)
        and instance.address(GRPC_ADDRESS) is not None
    )


def serving(instances: Iterable[Instance]) -> frozenset[str]:
    """Services with an endpoint that is UP: what only might still work is nothing left."""
    return frozenset(
        instance.service
        for instance in instances
        if instance.status is Status.UP and instance.address(GRPC_ADDRESS) is not None
    )


def require_known(target: Target, instances: Iterable[Instance]) -> None:
    """Refuse an order about nothing that is there.

    Raises:
        UnknownTargetError: suggesting the nearest name.
    """
    names = _names(target.kind, instances)
    if target.name not in names:
        raise UnknownTargetError(
            f"no {target.kind} {target.name!r} is registered{nearest(target.name, names)}; with `force` the order is "
            "for what comes later"
        )


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of a sentence about a name that is not known."""
    listed = sorted(known)
    # Comparing takes time that the hub has not: of very many, those that stand where it would stand.
    at = max(0, bisect(listed, name) - _COMPARED // 2)
    near = difflib.get_close_matches(name, listed[at : at + _COMPARED], n=1)
    if near:
        return f"; did you mean {near[0]!r}?"
    return f"; there are {', '.join(listed[:20])}{' …' if len(listed) > 20 else ''}" if listed else "; there is none"


def _names(kind: str, instances: Iterable[Instance]) -> set[str]:
    match kind:
        case "instance":
            return {instance.id for instance in instances}
        case "service":
            return {instance.service for instance in instances}
        case _:
            return {instance.zone for instance in instances if instance.zone}
