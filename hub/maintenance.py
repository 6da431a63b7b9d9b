"""People's orders: given, taken back, and in force for clients when the call returns."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from hub.domain.drain import Drain, Target
from hub.domain.instance import Instance
from hub.domain.standing import is_about
from hub.domain.state import key_of
from hub.domain.withdrawal import (
    LastEndpointError,
    UnknownTargetError,
    admit_order,
    admit_target,
    affected,
    nearest,
    require_known,
    serving,
    taken,
)
from hub.store.replica import Replica
from hub.store.rewriting import rewritten
from mesh.clock import unix_ms
from mesh.log import get_logger

log = get_logger(__name__)

MAX_DRAINS = 1_000


class TooManyDrainsError(Exception):
    """More orders than people can mean."""


@dataclass(frozen=True, slots=True)
class Order:
    """An order as it stands: its revision, and the registered instances that it holds for."""

    revision: int
    drain: Drain
    instances: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Undone:
    """An order that is no more: from which revision, whom it held, and whom of those another one holds."""

    revision: int
    instances: tuple[str, ...]
    still_drained: tuple[str, ...]


class Maintenance:
    """Takes instances out of service and puts them back.

    One order at a time at this hub, so that no two of them take the last endpoints from a service together; of two
    hubs that are asked in the same moment, who finds the service bereft takes its order back.

    Args:
        publish_up_to: Lets discovery say all that is known up to a revision.
    """

    def __init__(
        self, replica: Replica, publish_up_to: Callable[[int], None], clock: Callable[[], int] = unix_ms
    ) -> None:
        self._replica = replica
        self._publish_up_to = publish_up_to
        self._clock = clock
        self._turn = asyncio.Lock()

    @property
    def revision(self) -> int:
        """Up to which the orders are known here."""
        return self._replica.catalog.revision

    def orders(self) -> list[tuple[int, Drain]]:
        """All orders in force with their revisions, the oldest first."""
        return sorted(self._replica.drains().values(), key=lambda held: (held[1].since_unix_ms, held[0]))

    async def drain(self, order: Drain, force: bool) -> Order:
        """Give an order, or change the one about the same target; it is published when this returns.

        Raises:
            AdmissionError: the order is wrong.
            UnknownTargetError: nothing of that name is there (unless `force`).
            LastEndpointError: a service would have nothing left (unless `force`).
            TooManyDrainsError: a thousand orders stand already.
            ConflictError: other hubs kept changing the same order.
            StoreAwayError: nobody answers; whether it is in force is not known.
        """
        admit_order(order)
        async with self._turn:
            given = await rewritten(lambda: self._drain(order, force))
        self._publish_up_to(given.revision)
        return given

    async def undrain(self, target: Target, by: str) -> Undone:
        """Take an order back.

        Raises:
            UnknownTargetError: there is no such order; the text says which orders hold.
            AdmissionError, ConflictError, StoreAwayError: as `drain`.
        """
        admit_target(target, by)
        async with self._turn:
            undone = await rewritten(lambda: self._undrain(target))
        self._publish_up_to(undone.revision)
        log.info("order taken back", target=f"{target.kind} {target.name}", by=by)
        return undone

    async def _drain(self, order: Drain, force: bool) -> Order:
        instances, orders = self._instances(), self._replica.drains()
        revision, standing = orders.get(order.target, (0, None))
        if standing is None and len(orders) >= MAX_DRAINS:
            raise TooManyDrainsError(f"{len(orders)} orders stand already; take back what is over (ListDrains)")
        loses = frozenset[str]() if force else taken(order.target, instances)
        if standing is None and not force:
            require_known(order.target, instances)
        _refuse_emptying(loses, (one for one in instances if not is_about(order.target, one)))
        same = standing is not None and standing.status is order.status
        order = replace(order, since_unix_ms=standing.since_unix_ms if standing and same else self._clock())
        if order != standing:
            revision = await self._replica.put(order, revision)
            log.info("order given", target=f"{order.target.kind} {order.target.name}", status=order.status,
                     by=order.by, reason=order.reason)  # fmt: skip
            try:
                _refuse_emptying(loses, self._instances())
            except LastEndpointError:
                await self._replica.remove(key_of(order), revision)
                raise
        return Order(revision, order, affected(order.target, instances))

    async def _undrain(self, target: Target) -> Undone:
        revision, standing = self._replica.drains().get(target, (0, None))
        if standing is None:
            raise UnknownTargetError(self._not_drained(target))
        revision = await self._replica.remove(key_of(standing), revision)
        held = [instance for instance in self._instances() if is_about(target, instance)]
        free = tuple(instance.id for instance in held if instance.drain is None)
        return Undone(revision, free, tuple(instance.id for instance in held if instance.drain is not None))

    def _not_drained(self, target: Target) -> str:
        """No order is about it; perhaps one holds for it."""
        for instance in self._instances():
            if is_about(target, instance) and instance.drain is not None:
                other = instance.drain.target
                return (
                    f"no order is about {target.kind} {target.name!r}: {instance.id} is drained by the one about "
                    f"{other.kind} {other.name!r}; undrain that"
                )
        of_kind = [other.name for other in self._replica.drains() if other.kind == target.kind]
        suggestion = nearest(target.name, of_kind) if of_kind else ""
        return f"{target.kind} {target.name!r} is not drained{suggestion}"

    def _instances(self) -> list[Instance]:
        return self._replica.catalog.instances()


def _refuse_emptying(services: frozenset[str], instances: Iterable[Instance]) -> None:
    """Raises LastEndpointError: one of the services has nothing UP among the instances."""
    if lost := services - serving(instances):
        raise LastEndpointError(lost)
