"""Discovery's clients on the wire."""

from itertools import islice

from suho.hub.v1 import traffic_pb2 as pb

from hub.xds.clients import Client
from hub.xds.kinds import Kind
from hub.xds.snapshot import Snapshot
from hub.xds.stream import Subscription

_SHOWN = 64
_NAMES = {Kind.LISTENER: "listener", Kind.ROUTES: "routes", Kind.CLUSTER: "cluster", Kind.ENDPOINTS: "endpoints"}


def client_to(client: Client, snapshot: Snapshot, started_unix_ms: int) -> pb.DiscoveryClient:
    """One stream.

    Args:
        started_unix_ms: When the monotonic clock stood at 0.
    """
    stream = client.stream
    message = pb.DiscoveryClient(
        peer=client.peer,
        zone=stream.view.zone,
        connected_unix_ms=client.since_unix_ms,
        dependencies=sorted(stream.view.dependencies),
    )
    if (who := stream.who) is not None:
        message.node_id, message.cluster, message.user_agent = who.node_id, who.cluster, who.user_agent
    for kind, subscription in stream.subscriptions.items():
        message.resources.append(_resource(kind, subscription, started_unix_ms))
        if kind is Kind.ROUTES:
            absent = sorted(stream.view.dependencies - snapshot.routed(stream.view.dependencies))
            message.resources[-1].missing.update(
                (name, snapshot.missing(Kind.LISTENER, name)) for name in absent[:_SHOWN]
            )
    return message


def _resource(kind: Kind, subscription: Subscription, started_unix_ms: int) -> pb.ClientResource:
    telling = subscription.telling
    refused = started_unix_ms + round(subscription.refused_at * 1000) if subscription.refusal else 0
    return pb.ClientResource(
        kind=_NAMES[kind],
        names=telling.names[:_SHOWN],
        sent_version=telling.version,
        running_version=subscription.running,
        refusal=subscription.refusal,
        refused_unix_ms=refused,
        missing=dict(islice(telling.missing.items(), _SHOWN)),
        subscribed=len(telling.names),
    )
