"""Raises alarms: in the log when they begin and end, as gauges while they last, and for those who ask."""

import asyncio
import time
from collections.abc import Callable, Iterator

from hub.domain.alarms import Alarm, AlarmKind, Board, Condition, services_in_trouble
from hub.registry import Registry
from mesh.clock import unix_ms
from mesh.log import get_logger

log = get_logger(__name__)

_LOOK_S = 1.0
# Full to this share, people should know.
_NEARLY_FULL = 0.9


class Alarms:
    """What people should know of this hub and its mesh.

    Args:
        max_instances: How many instances the registry takes.
        probes_fail: Whether most of this hub's probes fail at once.
    """

    def __init__(self, registry: Registry, max_instances: int, probes_fail: Callable[[], bool]) -> None:
        self._registry = registry
        self._max_instances = max_instances
        self._probes_fail = probes_fail
        self._board = Board()
        self._services: tuple[int, list[Condition]] = (0, [])

    @property
    def raised(self) -> list[Alarm]:
        """The alarms in force, the oldest first."""
        return self._board.alarms

    async def run(self) -> None:
        """Look every second, for ever."""
        while True:
            self.look()
            await asyncio.sleep(_LOOK_S)

    def look(self) -> None:
        """See what is the matter now."""
        begun, ended = self._board.take(self._conditions(), time.monotonic(), unix_ms())
        for alarm in begun:
            log.warning("alarm", kind=alarm.kind, text=alarm.text)
        for alarm in ended:
            log.info("alarm is over", kind=alarm.kind, text=alarm.text)

    def _conditions(self) -> Iterator[Condition]:
        registry = self._registry
        protection = registry.protection
        if protection.protecting:
            text = (
                f"{protection.waiting} instances are silent, {protection.expired} expired of late: they expire slowly"
            )
            yield Condition(AlarmKind.SELF_PRESERVATION, "", text)
        if not registry.peers.attached:
            text = "the store does not answer: this hub serves what it knows, writes nothing and expires nobody"
            yield Condition(AlarmKind.STORE_AWAY, "", text)
        for hub_id, seconds in registry.peers.heard().items():
            if registry.peers.is_gone(hub_id):
                yield Condition(AlarmKind.HUB_SILENT, hub_id, f"hub {hub_id} was last heard {seconds:.0f} s ago")
        if len(registry.catalog) >= _NEARLY_FULL * self._max_instances:
            text = f"{len(registry.catalog)} of {self._max_instances} instances are registered"
            yield Condition(AlarmKind.REGISTRY_FULL, "", text)
        if self._probes_fail():
            text = "most of this hub's probes began to fail at once: that is rather its own trouble than the others'"
            yield Condition(AlarmKind.PROBES_FAIL, "", text)
        yield from self._of_services()

    def _of_services(self) -> list[Condition]:
        catalog = self._registry.catalog
        if self._services[0] != catalog.revision:
            self._services = (catalog.revision, services_in_trouble(catalog.instances()))
        return self._services[1]
