"""Publishes the topology: additions gather for a moment, removals go out at once."""

import asyncio
import time
from collections.abc import Mapping
from typing import Protocol

from hub.domain.catalog import Catalog, CompactedError
from hub.domain.policy import Policy
from hub.domain.topology import Surveyor
from hub.streams import Bell, heard
from hub.xds.snapshot import Snapshot


class Known(Protocol):
    """What a hub knows of the mesh."""

    catalog: Catalog

    def policies(self) -> Mapping[str, tuple[int, Policy]]:
        """Policies by service, each with its revision."""
        ...


class Discovery:
    """The newest published snapshot; its bell rings when there is a newer one.

    Args:
        debounce_s: How long additions gather, counted from the first.
    """

    def __init__(self, known: Known, news: Bell, bell: Bell, debounce_s: float) -> None:
        self._known = known
        self._news = news
        self.bell = bell
        self._debounce_s = debounce_s
        self._surveyor = Surveyor()
        self._surveyor.begin_anew(known.catalog.instances())
        self._seen = known.catalog.revision
        self._policies: dict[str, Policy] = {}
        self._changed = True
        self._urgent = False
        self.snapshot = Snapshot()
        self.publish()

    def publish(self) -> None:
        """Make the present state known."""
        self._take_in()
        if not self._changed:
            return
        self._changed = self._urgent = False
        topology = self._surveyor.topology(self._seen, self._policies)
        self.snapshot = Snapshot(topology, self.snapshot)
        self.bell.ring()

    def publish_up_to(self, revision: int) -> None:
        """Do not let what the registry said at this revision wait: someone relies on its being known."""
        if self.snapshot.topology.revision < revision:
            self.publish()

    async def run(self) -> None:
        """Publish what changes, for ever."""
        with self._news.listening() as ear:
            while True:
                self._take_in()
                if self._changed:
                    await self._gather(ear)
                    self.publish()
                await heard(ear)

    async def _gather(self, ear: asyncio.Event) -> None:
        until = time.monotonic() + self._debounce_s
        while self._changed and not self._urgent and (left := until - time.monotonic()) > 0:
            await heard(ear, left)
            self._take_in()

    def _take_in(self) -> None:
        catalog = self._known.catalog
        try:
            changes = catalog.changes_after(self._seen)
        except CompactedError:
            self._surveyor.begin_anew(catalog.instances())
            self._changed = self._urgent = True
        else:
            for change in changes:
                self._urgent |= self._surveyor.take(change)
            self._changed |= bool(changes)
        self._seen = catalog.revision
        policies = {service: policy for service, (_, policy) in self._known.policies().items()}
        if policies != self._policies:
            self._policies = policies
            self._changed = True
