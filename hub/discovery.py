"""Publishes the topology: additions gather for a moment, removals go out at once."""

import asyncio
import time

from hub.domain.catalog import Change, CompactedError
from hub.domain.topology import topology, withdraws
from hub.registry import Registry
from hub.streams import Bell, heard
from hub.xds.snapshot import Snapshot


class Discovery:
    """The newest published snapshot; its bell rings when there is a newer one.

    Args:
        debounce_s: How long additions gather, counted from the first.
    """

    def __init__(self, registry: Registry, news: Bell, bell: Bell, debounce_s: float) -> None:
        self._registry = registry
        self._news = news
        self.bell = bell
        self._debounce_s = debounce_s
        self.snapshot = Snapshot()
        self.publish()

    def publish(self) -> None:
        """Make the registry's present state known."""
        catalog = self._registry.catalog
        now = topology(catalog.revision, catalog.instances(), self.snapshot.topology)
        self.snapshot = Snapshot(now)
        self.bell.ring()

    def publish_up_to(self, revision: int) -> None:
        """Do not let what the registry said at this revision wait: someone relies on its being known."""
        if self.snapshot.topology.revision < revision:
            self.publish()

    async def run(self) -> None:
        """Publish what changes, for ever."""
        with self._news.listening() as ear:
            while True:
                if self._unpublished() != []:
                    await self._gather(ear)
                    self.publish()
                await heard(ear)

    async def _gather(self, ear: asyncio.Event) -> None:
        until = time.monotonic() + self._debounce_s
        while (left := until - time.monotonic()) > 0:
            changes = self._unpublished()
            if changes is None or any(withdraws(self.snapshot.topology, change) for change in changes):
                return
            await heard(ear, left)

    def _unpublished(self) -> list[Change] | None:
        """Changes since the last publication; None when there are too many to tell."""
        try:
            return self._registry.catalog.changes_after(self.snapshot.topology.revision)
        except CompactedError:
            return None
