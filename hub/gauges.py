"""How this hub stands, as Prometheus sees it."""

from collections.abc import Callable

from suho.hub.v1 import registry_pb2 as pb

from hub.domain.alarms import AlarmKind
from mesh.telemetry import gauge


def observe(state: Callable[[], pb.GetRegistryStateResponse]) -> None:
    """Have the state read whenever somebody looks."""
    gauge("suho.hub.instances", "Registered instances", lambda: [(state().instances, {})])
    gauge("suho.hub.leases", "Leases that this hub holds", lambda: [(state().leases, {})])
    gauge("suho.hub.watchers", "Watches at this hub", lambda: [(state().watchers, {})])
    gauge("suho.hub.discovery_streams", "Discovery streams of this hub", lambda: [(state().discovery_streams, {})])
    gauge("suho.hub.attached", "1 while the store answers", lambda: [(state().attached, {})])
    gauge(
        "suho.hub.self_preservation",
        "1 while silence is doubted",
        lambda: [(state().self_preservation.protecting, {})],
    )
    gauge("suho.hub.alarms", "Alarms in force, by kind", lambda: _by_kind(state()))


def _by_kind(state: pb.GetRegistryStateResponse) -> list[tuple[float, dict[str, str]]]:
    kinds = [alarm.kind for alarm in state.alarms]
    return [(kinds.count(kind), {"kind": kind}) for kind in AlarmKind]
