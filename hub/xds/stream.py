"""One client's ADS stream as a state machine: requests in, due responses out. State of the world, as gRPC speaks it.

**A hub that starts without its state must not wipe the mesh.** A client that comes with versions from before has
working endpoints; told "none", it would fail every call until the instances have registered here too. So what this hub
can not confirm is left unsaid, for `hold_s` at most. The version of routes names the clusters they lead to: that is how
a hub without memory learns from a client what it must not take away.
"""

from dataclasses import dataclass
from sys import intern

from suho.envoy.v3 import core_pb2, discovery_pb2

from hub.xds.kinds import KINDS, Kind
from hub.xds.names import MESH
from hub.xds.snapshot import Snapshot
from hub.xds.telling import NOTHING, Telling, Tellings
from hub.xds.view import RequestError, View, view_of

_MAX_NAMES = 10_000
# Of what a client says of a refusal, as much as people read.
_MAX_REFUSAL = 4_096


@dataclass(frozen=True, slots=True)
class Nack:
    """A client's refusal of what it was sent."""

    kind: Kind
    message: str


@dataclass(frozen=True, slots=True)
class Who:
    """What a client calls itself."""

    node_id: str
    cluster: str
    user_agent: str


class Subscription:
    """What a client has of one kind."""

    __slots__ = ("inherited", "inherited_routes", "nonce", "refusal", "refused_at", "running", "telling")

    def __init__(self, telling: Telling, version: str) -> None:
        self.telling = telling
        self.nonce = ""
        self.running = version
        """The version that it says it runs."""
        self.refusal = ""
        """Its newest, while it stands."""
        self.refused_at = 0.0
        self.inherited = frozenset(telling.names) if version else NOTHING
        _, _, services = version.partition(" ")
        self.inherited_routes = frozenset(services.split(",")) - {""} if telling.kind is Kind.ROUTES else NOTHING


class AdsStream:
    """What one client subscribed to, and what it was told.

    Args:
        hold_s: How long a client's older knowledge is left standing.
    """

    __slots__ = ("_hold_s", "_hold_until", "_since", "_tellings", "asks", "subscriptions", "view", "who")

    def __init__(self, tellings: Tellings, hold_s: float) -> None:
        self._tellings = tellings
        self._hold_s = hold_s
        self._since = 0.0
        self._hold_until: float | None = None
        self.subscriptions: dict[Kind, Subscription] = {}
        self.who: Who | None = None
        """Unknown before its first request."""
        self.view = View()
        self.asks = False
        """It subscribed to something since it was last answered."""

    def take(self, request: discovery_pb2.DiscoveryRequest, now: float) -> Nack | None:
        """Take in a subscription, an ACK or a NACK; a NACK is given back for the log.

        Raises:
            RequestError: it can not be answered as it is.
        """
        if self.who is None:
            self.view = view_of(request.node)
            self.who = _who(request.node)
            self._since = now
        kind = KINDS.get(request.type_url)
        if kind is None:
            return None  # one that we never serve: silence means that there is none
        if len(request.resource_names) > _MAX_NAMES:
            raise RequestError(f"more than {_MAX_NAMES} names of one kind: declare node.metadata.dependencies")
        subscription = self.subscriptions.get(kind)
        if subscription is None:
            telling = self._tellings.subscribed(kind, self.view, _names(request))
            self.subscriptions[kind] = Subscription(telling, request.version_info)
            if request.version_info:
                self._hold_until = self._since + self._hold_s
            self.asks = True
            return None
        if request.response_nonce != subscription.nonce:
            return None  # about an older response; the client will speak of the newest too
        names = _names(request)
        if names != subscription.telling.names:
            subscription.telling = self._tellings.renamed(subscription.telling, names)
            self.asks = True
        version = subscription.telling.version
        # Most clients run the same: they share the word for it.
        subscription.running = version if request.version_info == version else request.version_info
        refused = request.HasField("error_detail")
        subscription.refusal = (request.error_detail.message[:_MAX_REFUSAL] or "it said no reason") if refused else ""
        if not refused:
            return None
        subscription.refused_at = now
        return Nack(kind, subscription.refusal)

    def due(self, snapshot: Snapshot, now: float) -> list[bytes]:
        """Serialised responses to send now, in order."""
        self.asks = False
        responses = []
        for kind in Kind:
            subscription = self.subscriptions.get(kind)
            if subscription is not None:
                held = self._held(subscription, snapshot, now) if subscription.inherited else NOTHING
                answer = self._tellings.answer(subscription.telling, snapshot, held)
                if answer is not None:
                    subscription.telling, subscription.nonce = answer.after, answer.nonce
                    responses.append(answer.response)
        return responses

    def held_until(self, now: float) -> float | None:
        """When something may be due without any news; None when only news can make it so."""
        return self._hold_until if self._hold_until is not None and now < self._hold_until else None

    def _held(self, subscription: Subscription, snapshot: Snapshot, now: float) -> frozenset[str]:
        if self.held_until(now) is None:
            subscription.inherited = NOTHING
            return NOTHING
        telling = subscription.telling
        return frozenset(
            name
            for name in telling.names
            if name in subscription.inherited
            and name not in telling.told
            and not self._is_confirmed(name, subscription, snapshot)
        )

    def _is_confirmed(self, name: str, subscription: Subscription, snapshot: Snapshot) -> bool:
        kind = subscription.telling.kind
        if kind is Kind.ENDPOINTS:
            return snapshot.has_endpoints(name)
        if kind is Kind.ROUTES and name == MESH:
            return subscription.inherited_routes <= snapshot.routed(self.view.dependencies)
        return kind is Kind.CLUSTER or snapshot.resource(kind, name, subscription.telling.view) is not None


def _who(node: core_pb2.Node) -> Who:
    agent = " ".join(filter(None, (node.user_agent_name, node.user_agent_version)))
    return Who(node.id, intern(node.cluster), intern(agent))


def _names(request: discovery_pb2.DiscoveryRequest) -> tuple[str, ...]:
    return tuple(sorted(set(request.resource_names)))
