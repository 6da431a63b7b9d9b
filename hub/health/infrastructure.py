"""Registers what the setting `infrastructure` names, so that `suho services` shows the whole system.

One hub holds each entry, its probes say how it stands; when that hub is gone, another one takes the entry up.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import replace

from hub.domain.health import Verdict
from hub.domain.infrastructure import INFRASTRUCTURE, token_of
from hub.domain.instance import Instance
from hub.domain.lease import IdTakenError, NotHolderError, digest_of
from hub.domain.state import ConflictError, Record, StoreAwayError
from hub.domain.status import Status
from hub.registry import Holder, OfferTakenError, Registry, RegistryFullError
from mesh.errors import MeshError
from mesh.log import get_logger
from mesh.waiting import obey_cancellation

log = get_logger(__name__)

_REFUSALS = (
    IdTakenError,
    OfferTakenError,
    RegistryFullError,
    NotHolderError,
    ConflictError,
    StoreAwayError,
    MeshError,
)
_MOST_BETWEEN_S = 1.0


class Infrastructure:
    """Holds the entries that no other living hub holds."""

    def __init__(self, instances: Iterable[Instance], registry: Registry) -> None:
        self._instances = {instance.id: instance for instance in instances}
        self._registry = registry
        self._every_s = min(_MOST_BETWEEN_S, registry.terms.heartbeat_s)

    async def run(self) -> None:
        """Hold for ever; first lets go of what this hub held, and is not to hold any more."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._leave_the_unwanted(), name="let go of the unwanted")
            for instance in self._instances.values():
                tasks.create_task(self._hold(instance), name=f"hold {instance.id}")

    async def _hold(self, instance: Instance) -> None:
        holder: Holder | None = None
        said = ""
        while True:
            obey_cancellation()
            try:
                holder = await self._hold_on(instance, holder)
                said = ""
            except _REFUSALS as error:
                if str(error) != said:
                    said = str(error)
                    log.warning("infrastructure is not held", instance=instance.id, because=said)
            await asyncio.sleep(self._every_s)

    async def _hold_on(self, instance: Instance, holder: Holder | None) -> Holder | None:
        found = self._registry.replica.record(instance.id)
        record = found[1] if found else None
        if holder is not None and self._registry.holds(holder):
            await self._registry.hear(holder)
            if record is not None:
                await self._report(holder, record)
            return holder
        if not self._registry.peers.attached or not self._is_free(record):
            return None
        if record is not None and record.token_digest == digest_of(token_of(instance.id)):
            instance = replace(instance, status=record.instance.status, status_reason=record.instance.status_reason)
        return await self._registry.register(instance, token_of(instance.id))

    def _is_free(self, record: Record | None) -> bool:
        return (
            record is None
            or record.owner == self._registry.hub_id
            or record.expiry is not None
            or self._registry.peers.is_gone(record.owner)
        )

    async def _report(self, holder: Holder, record: Record) -> None:
        """It has no word of its own: it is UP when it was first seen to work, and then what its probes say."""
        if record.instance.status is not Status.STARTING:
            return
        if record.health.verdict is not Verdict.UNKNOWN:
            await self._registry.report(holder, Status.UP, "")
        elif record.health.last_error != record.instance.status_reason:
            await self._registry.report(holder, Status.STARTING, record.health.last_error)

    async def _leave_the_unwanted(self) -> None:
        for instance_id, (_, record) in list(self._registry.replica.records().items()):
            ours = record.owner == self._registry.hub_id and INFRASTRUCTURE in record.instance.metadata
            if ours and instance_id not in self._instances:
                await self._leave(instance_id)

    async def _leave(self, instance_id: str) -> None:
        while True:
            obey_cancellation()
            try:
                await self._registry.leave(instance_id, token_of(instance_id), "not in the setting any more")
            except StoreAwayError:
                await asyncio.sleep(self._every_s)
            except (IdTakenError, NotHolderError) as error:  # somebody else's after all
                log.info("infrastructure is not let go", instance=instance_id, because=str(error))
                return
            else:
                return
