"""One client's ADS stream as a state machine: requests in, due responses out. State of the world, as gRPC speaks it.

**A hub that starts without its state must not wipe the mesh.** A client that comes with versions from before has
working endpoints; told "none", it would fail every call until the instances have registered here too. So what this hub
can not confirm is left unsaid, for `hold_s` at most. The version of routes names the clusters they lead to: that is how
a hub without memory learns from a client what it must not take away.
"""

from dataclasses import dataclass, field

from suho.envoy.v3 import discovery_pb2

from hub.xds.kinds import Kind
from hub.xds.snapshot import MESH, Dependencies, Snapshot, version_of

# Here a response says all there is: a resource left out is deleted. Of the other kinds only news is sent.
_COMPLETE = (Kind.CLUSTER, Kind.LISTENER)


class RequestError(ValueError):
    """The client asked in a way that this server can not answer; the text says how to ask."""


@dataclass(frozen=True, slots=True)
class Nack:
    """A client's refusal of what it was sent."""

    kind: Kind
    message: str


@dataclass(slots=True)
class _Subscription:
    names: tuple[str, ...]
    inherited: frozenset[str]
    inherited_routes: frozenset[str]
    nonce: str = ""
    version: str = ""
    asked: bool = True
    told: dict[str, bytes] = field(default_factory=dict)


class AdsStream:
    """What one client subscribed to, and what it was told.

    Args:
        hold_s: How long a client's older knowledge is left standing.
    """

    def __init__(self, hold_s: float) -> None:
        self._hold_s = hold_s
        self._hold_until: float | None = None
        self._subscriptions: dict[Kind, _Subscription] = {}
        self._responses = 0
        self.node_id: str | None = None
        self._dependencies: Dependencies = frozenset()

    def take(self, request: discovery_pb2.DiscoveryRequest, now: float) -> Nack | None:
        """Take in a subscription, an ACK or a NACK; a NACK is given back for the log.

        Raises:
            RequestError: the node says its dependencies in a form that can not be read.
        """
        if self.node_id is None:
            self.node_id = request.node.id
            self._dependencies = _dependencies(request)
            self._hold_until = now + self._hold_s
        try:
            kind = Kind(request.type_url)
        except ValueError:
            return None  # a kind we never serve: silence means that there is none
        names = tuple(sorted(set(request.resource_names)))
        subscription = self._subscriptions.get(kind)
        if subscription is None:
            self._subscriptions[kind] = _subscribed(kind, names, request.version_info)
            return None
        if request.response_nonce != subscription.nonce:
            return None  # about an older response; the client will speak of the newest too
        if names != subscription.names:
            subscription.names, subscription.asked = names, True
            subscription.told = {name: told for name, told in subscription.told.items() if name in names}
        if request.HasField("error_detail"):
            return Nack(kind, request.error_detail.message)
        return None

    def due(self, snapshot: Snapshot, now: float) -> list[bytes]:
        """Serialised responses to send now, in order."""
        responses = []
        for kind in Kind:
            subscription = self._subscriptions.get(kind)
            if subscription is not None:
                response = self._response(kind, subscription, snapshot, now)
                if response is not None:
                    responses.append(response)
        return responses

    def held_until(self, now: float) -> float | None:
        """When something may be due without any news; None when only news can make it so."""
        return self._hold_until if self._hold_until is not None and now < self._hold_until else None

    def _response(self, kind: Kind, subscription: _Subscription, snapshot: Snapshot, now: float) -> bytes | None:
        found = {
            name: resource
            for name in subscription.names
            if not self._is_held(kind, name, subscription, snapshot, now)
            and (resource := snapshot.resource(kind, name, self._dependencies)) is not None
        }
        news = {name: resource for name, resource in found.items() if subscription.told.get(name) != resource}
        if kind in _COMPLETE:
            if not (news or subscription.asked):
                return None
            news = found
        elif not news:
            return None
        subscription.asked = False
        subscription.told |= news
        subscription.version = self._version(kind, subscription, snapshot)
        self._responses += 1
        subscription.nonce = str(self._responses)
        rest = discovery_pb2.DiscoveryResponse(
            version_info=subscription.version, type_url=kind, nonce=subscription.nonce
        )
        return snapshot.body(list(news.values())) + rest.SerializeToString()

    def _is_held(self, kind: Kind, name: str, subscription: _Subscription, snapshot: Snapshot, now: float) -> bool:
        if name not in subscription.inherited or name in subscription.told or self.held_until(now) is None:
            return False
        if kind is Kind.ENDPOINTS:
            return not snapshot.has_endpoints(name)
        return (
            kind is Kind.ROUTES
            and name == MESH
            and not (subscription.inherited_routes <= snapshot.routed(self._dependencies))
        )

    def _version(self, kind: Kind, subscription: _Subscription, snapshot: Snapshot) -> str:
        version = version_of([subscription.told[name] for name in sorted(subscription.told)])
        if kind is not Kind.ROUTES:
            return version
        routed = snapshot.routed(self._dependencies) if MESH in subscription.told else subscription.inherited_routes
        return f"{version} {','.join(sorted(routed))}"


def _subscribed(kind: Kind, names: tuple[str, ...], version: str) -> _Subscription:
    _, _, clusters = version.partition(" ")
    routes = frozenset(clusters.split(",")) - {""} if kind is Kind.ROUTES else frozenset()
    return _Subscription(names, frozenset(names if version else ()), routes)


def _dependencies(request: discovery_pb2.DiscoveryRequest) -> Dependencies:
    fields = request.node.metadata.fields
    if "dependencies" not in fields:
        return frozenset()
    value = fields["dependencies"]
    if value.WhichOneof("kind") != "list_value" or any(
        item.WhichOneof("kind") != "string_value" for item in value.list_value.values
    ):
        raise RequestError("node.metadata.dependencies must be a list of service names; leave it out for all")
    return frozenset(item.string_value for item in value.list_value.values)
