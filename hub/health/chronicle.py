"""Tells the health history every change of status.

An instance's own hub does, or every other one while that is gone: an event's key is the same at all of them. A hub that
died is missed only a while later: till then the others keep what it may not have told.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable

from hub.domain.catalog import Catalog, Change, CompactedError
from hub.domain.history import HealthEvent, History
from hub.domain.instance import Instance
from hub.domain.peers import Peers
from hub.domain.status import Status
from hub.streams import Bell, heard
from mesh.clock import unix_ms

_GATHER_S = 0.05
# Longer than it takes to miss a hub, and less than the history knows an event that it is told twice.
_LEFT_S = 60.0
_MOST_LEFT = 10_000


class Chronicle:
    """Follows the catalog from where it stands."""

    def __init__(
        self,
        hub_id: str,
        catalog: Catalog,
        peers: Peers,
        news: Bell,
        history: History,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._hub_id = hub_id
        self._catalog = catalog
        self._peers = peers
        self._news = news
        self._history = history
        self._told = {instance.id: _standing(instance) for instance in catalog.instances()}
        self._revision = catalog.revision
        self._clock = clock
        self._left: deque[tuple[float, str, HealthEvent]] = deque(maxlen=_MOST_LEFT)
        """To other hubs: since when, to which, and what."""

    async def run(self) -> None:
        """Tell for ever."""
        with self._news.listening() as ear:
            while True:
                self.tell()
                await heard(ear)
                await asyncio.sleep(_GATHER_S)

    def tell(self) -> None:
        """Tell what changed since the last time."""
        try:
            changes = self._catalog.changes_after(self._revision)
        except CompactedError:
            changes = self._all()
        self._revision = self._catalog.revision
        self._tell_for_the_gone()
        for change in changes:
            self._take(change)

    def _tell_for_the_gone(self) -> None:
        while self._left and self._left[0][0] < self._clock() - _LEFT_S:
            self._left.popleft()
        gone = set(filter(self._peers.is_gone, {owner for _, owner, _ in self._left}))
        if gone:
            for _, owner, event in self._left:
                if owner in gone:
                    self._history.note(event)
            self._left = deque((item for item in self._left if item[1] not in gone), maxlen=_MOST_LEFT)

    def _all(self) -> list[Change]:
        """Where too much happened to be told one by one: how everything stands now."""
        present = [Change(item.revision, item, removed=False) for item in self._catalog.instances()]
        for gone in self._told.keys() - {change.instance.id for change in present}:
            del self._told[gone]
        return present

    def _take(self, change: Change) -> None:
        instance = change.instance
        if change.removed:
            status, _ = self._told.pop(instance.id, _standing(instance))
            if status is not Status.EXPIRED:  # it was told already that it is not there
                self._note(change, Status.DOWN, "it left")
        elif self._told.get(instance.id) != (stands := _standing(instance)):
            self._told[instance.id] = stands
            self._note(change, *stands)

    def _note(self, change: Change, status: Status, reason: str) -> None:
        instance = change.instance
        key = f"{instance.id}/{change.revision}"
        event = HealthEvent(key, instance.id, unix_ms(), self._hub_id, status, reason)
        if instance.hub == self._hub_id or self._peers.is_gone(instance.hub):
            self._history.note(event)
        else:
            self._left.append((self._clock(), instance.hub, event))


def _standing(instance: Instance) -> tuple[Status, str]:
    return instance.status, instance.status_reason
