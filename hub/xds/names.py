"""What resources are called."""

from hub.domain.admission import SERVICE_NAME

MESH = "mesh"
"""The listener behind `xds:///mesh`, and its routes."""

_CANARY = "@canary"


def canary_of(service: str) -> str:
    """The cluster of a service's canaries."""
    return service + _CANARY


def service_of(cluster: str) -> str | None:
    """The service, or entrance, whose cluster has that name; None where it can be nobody's."""
    name = cluster.removesuffix(_CANARY)
    return name if SERVICE_NAME.fullmatch(name) else None


def is_canary(cluster: str) -> bool:
    """Whether a cluster has that name for canaries."""
    return cluster.endswith(_CANARY)
