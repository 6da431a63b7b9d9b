"""What clients were told of one kind, and what they are due. Clients with the same history share all of it.

A thousand clients that are told the same cost one response: what one of them is due is kept with the snapshot, under
the state that they are all in.
"""

from collections.abc import Mapping
from itertools import count
from weakref import WeakValueDictionary

from google.protobuf.any_pb2 import Any
from suho.envoy.v3 import discovery_pb2

from hub.xds.kinds import COMPLETE, Kind
from hub.xds.names import MESH
from hub.xds.snapshot import Resource, Snapshot, version_of
from hub.xds.view import View

_NOT_FOUND = 5
_MOST = 10_000
NOTHING: frozenset[str] = frozenset()


class Telling:
    """What a client subscribed to and was told, of one kind. Never changes; the same state is the same object."""

    __slots__ = ("__weakref__", "asked", "kind", "missing", "names", "told", "version", "view")

    def __init__(
        self,
        kind: Kind,
        view: View,
        names: tuple[str, ...],
        told: Mapping[str, Resource],
        missing: Mapping[str, str],
        version: str,
        asked: bool,
    ) -> None:
        self.kind = kind
        self.view = view
        self.names = names
        self.told = told
        self.missing = missing
        """Names that there is nothing for, and why."""
        self.version = version
        self.asked = asked
        """It subscribed anew and was not answered yet."""


class Answer:
    """A serialised response, and the state that it leads to."""

    __slots__ = ("after", "nonce", "response")

    def __init__(self, response: bytes, nonce: str, after: Telling) -> None:
        self.response = response
        self.nonce = nonce
        self.after = after


class Tellings:
    """All states that any client is in, and what leads from one to the next."""

    def __init__(self) -> None:
        self._states: WeakValueDictionary[tuple[object, ...], Telling] = WeakValueDictionary()
        self._answers: dict[tuple[Telling, frozenset[str]], Answer | None] = {}
        self._snapshot = Snapshot()
        self._nonces = count(1)

    def subscribed(self, kind: Kind, view: View, names: tuple[str, ...]) -> Telling:
        """The state of a client that has just come."""
        return self._state(Telling(kind, view.of(kind), names, {}, {}, version="", asked=True))

    def renamed(self, telling: Telling, names: tuple[str, ...]) -> Telling:
        """The state after a change of names. What is asked for again is told again."""
        told = {name: resource for name, resource in telling.told.items() if name in names}
        missing = {name: why for name, why in telling.missing.items() if name in names}
        return self._state(Telling(telling.kind, telling.view, names, told, missing, telling.version, asked=True))

    def answer(self, telling: Telling, snapshot: Snapshot, held: frozenset[str] = NOTHING) -> Answer | None:
        """What a client in that state is due; None when nothing.

        Args:
            held: Names that are left unsaid for now.
        """
        if snapshot is not self._snapshot or len(self._answers) >= _MOST:
            self._snapshot = snapshot
            self._answers.clear()
        key = (telling, held)
        if key not in self._answers:
            self._answers[key] = self._made(telling, snapshot, held)
        return self._answers[key]

    def _made(self, telling: Telling, snapshot: Snapshot, held: frozenset[str]) -> Answer | None:
        kind, told, complete = telling.kind, telling.told, telling.kind in COMPLETE
        if held and kind is not Kind.ENDPOINTS:
            return None  # half of it would take the rest away, or give up the version that says what was there
        found, missing = _looked_up(telling, snapshot, held)
        news = {name: it for name, it in found.items() if name not in told or told[name].digest != it.digest}
        if not (news or missing.keys() != telling.missing.keys() or (complete and telling.asked)):
            return None
        known = found if complete else {**told, **found}
        version = _version(telling, known, snapshot)
        nonce = str(next(self._nonces))
        response = discovery_pb2.DiscoveryResponse(
            version_info=version,
            resources=[Any.FromString(it.data) for it in (found if complete else news).values()],
            type_url=kind,
            nonce=nonce,
            resource_errors=[
                _error(name, why) for name, why in missing.items() if complete or name not in telling.missing
            ],
        )
        after = self._state(Telling(kind, telling.view, telling.names, known, missing, version, asked=False))
        return Answer(response.SerializeToString(), nonce, after)

    def _state(self, telling: Telling) -> Telling:
        content = version_of([telling.told[name] for name in sorted(telling.told)])
        missing = frozenset(telling.missing.items())
        key = (telling.kind, telling.view, telling.names, content, missing, telling.version, telling.asked)
        return self._states.setdefault(key, telling)


def _looked_up(
    telling: Telling, snapshot: Snapshot, held: frozenset[str]
) -> tuple[dict[str, Resource], dict[str, str]]:
    found: dict[str, Resource] = {}
    missing: dict[str, str] = {}
    for name in telling.names:
        if name not in held:
            resource = snapshot.resource(telling.kind, name, telling.view)
            if resource is None:
                missing[name] = telling.missing.get(name) or snapshot.missing(telling.kind, name)
            else:
                found[name] = resource
    return found, missing


def _version(telling: Telling, known: Mapping[str, Resource], snapshot: Snapshot) -> str:
    """That of the mesh's routes names the services that they lead to: see `stream`."""
    version = version_of([known[name] for name in sorted(known)])
    if telling.kind is not Kind.ROUTES or MESH not in known:
        return version
    return f"{version} {','.join(sorted(snapshot.routed(telling.view.dependencies)))}"


def _error(name: str, why: str) -> discovery_pb2.ResourceError:
    return discovery_pb2.ResourceError(
        resource_name=discovery_pb2.ResourceName(name=name),
        error_detail=discovery_pb2.Status(code=_NOT_FOUND, message=why),
    )
