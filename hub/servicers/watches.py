"""Watches at the edge. A watcher has a revision and no queue: a slow one costs nothing and blocks nobody."""

from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import replace

from suho.hub.v1 import registry_pb2 as pb

from hub.domain.catalog import Catalog, Change, in_chunks
from hub.messages.instances import change_to
from hub.servicers.refusals import canonical
from hub.streams import Bell, heard, stopping_error

MAX_CHANGES = 50
"""In one message: an instance and what is known of it take 72 KiB at most, and a message of gRPC 4 MiB."""

# Watchers that are as far as each other are told the same bytes, where those are few.
_SHARED_MESSAGES = 2
_SHARED_PLACES = 256


class Watches:
    """Every watch at this hub.

    Args:
        progress_s: How long a watch that wants to hear of progress hears nothing, at most.
    """

    def __init__(self, catalog: Catalog, news: Bell, progress_s: float) -> None:
        self._catalog = catalog
        self._news = news
        self._progress_s = progress_s
        self._shared: dict[tuple[int, str], tuple[int, list[bytes]]] = {}
        self.count = 0

    async def serve(self, request: pb.WatchRequest) -> AsyncIterator[bytes]:
        """Serialised `WatchResponse`s: a snapshot, or what came after a revision, and then every change."""
        self.count += 1
        try:
            with self._news.listening() as ear:
                revision = request.start_revision
                if revision == 0:
                    revision = self._catalog.revision
                    for message in self._snapshot(request.service, revision):
                        yield message
                progress_s = self._progress_s if request.progress else None
                while not self._news.stopping:
                    with canonical():
                        reached, messages = self._after(revision, request.service)
                    for message in messages:
                        yield message
                    revision = reached
                    if not await heard(ear, progress_s):
                        yield _serialised(revision, [])
            raise stopping_error()
        finally:
            self.count -= 1

    def _snapshot(self, service: str, revision: int) -> Iterator[bytes]:
        present = [Change(revision, instance, removed=False) for instance in self._catalog.instances(service)]
        last = max(0, (len(present) - 1) // MAX_CHANGES)
        for at in range(last + 1):
            chunk = present[at * MAX_CHANGES : (at + 1) * MAX_CHANGES]
            more = at < last
            yield _serialised(0 if more else revision, chunk, snapshot=True, more=more)

    def _after(self, revision: int, service: str) -> tuple[int, list[bytes]]:
        """Where a watcher of a service goes from a revision, and what it is to be told on the way."""
        reached = self._catalog.revision
        shared = self._shared.get((revision, service))
        if shared is not None and shared[0] == reached:
            return shared
        changes = self._catalog.changes_after(revision)
        told = list(_of_service(service, changes)) if service else changes
        pieces = in_chunks(revision, told, MAX_CHANGES)
        messages = [_serialised(after, chunk, more=_goes_on(after, chunk)) for after, chunk in pieces]
        if len(messages) <= _SHARED_MESSAGES:
            if len(self._shared) >= _SHARED_PLACES:
                self._shared.clear()
            self._shared[revision, service] = reached, messages
        return reached, messages


def _of_service(service: str, changes: Iterable[Change]) -> Iterator[Change]:
    """What a watcher of one service is told; who went over to another has left."""
    for change in changes:
        if change.instance.service == service:
            yield change
        elif change.left_service == service:
            yield replace(change, removed=True)


def _goes_on(after: int, chunk: list[Change]) -> bool:
    """Whether the chunk's last revision goes on with the next."""
    return chunk[-1].revision > after


def _serialised(revision: int, changes: list[Change], *, snapshot: bool = False, more: bool = False) -> bytes:
    return pb.WatchResponse(
        revision=revision, snapshot=snapshot, changes=[change_to(change) for change in changes], more=more
    ).SerializeToString()
