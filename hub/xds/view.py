"""In what one client's resources differ from another's."""

from dataclasses import dataclass

from suho.envoy.v3 import core_pb2

from hub.domain.admission import MAX_TEXT, SERVICE_NAME
from hub.xds.kinds import Kind

# gRPC's C core counts the deadlines that it is configured with from 1 to 2 s before the call (grpc/grpc#34547).
_EARLY = "gRPC C-core"
_PROLONG_MS = 2_000
_MAX_DEPENDENCIES = 1_000


class RequestError(ValueError):
    """The client asked in a way that this server can not answer; the text says how to ask."""


@dataclass(frozen=True, slots=True)
class View:
    """What a client said of itself, as far as it matters."""

    dependencies: frozenset[str] = frozenset()
    """The services that it calls; empty means all."""
    zone: str = ""
    prolong_ms: int = 0
    """By how much its deadlines come early."""

    def of(self, kind: Kind) -> "View":
        """What matters for one kind: clients that do not differ there share their responses."""
        match kind:
            case Kind.ROUTES:
                return View(dependencies=self.dependencies, prolong_ms=self.prolong_ms)
            case Kind.ENDPOINTS:
                return View(zone=self.zone)
            case _:
                return View()


def view_of(node: core_pb2.Node) -> View:
    """What a client's node says.

    Raises:
        RequestError: its dependencies or its zone are in a form that can not be read.
    """
    if len(node.locality.zone) > MAX_TEXT:
        raise RequestError(f"node.locality.zone is longer than {MAX_TEXT} characters")
    prolong_ms = _PROLONG_MS if node.user_agent_name.startswith(_EARLY) else 0
    return View(_dependencies(node), node.locality.zone, prolong_ms)


def _dependencies(node: core_pb2.Node) -> frozenset[str]:
    if "dependencies" not in node.metadata.fields:
        return frozenset()
    value = node.metadata.fields["dependencies"]
    if value.WhichOneof("kind") != "list_value" or any(
        item.WhichOneof("kind") != "string_value" for item in value.list_value.values
    ):
        raise RequestError("node.metadata.dependencies must be a list of service names; leave it out for all")
    if len(value.list_value.values) > _MAX_DEPENDENCIES:
        raise RequestError(f"node.metadata.dependencies lists more than {_MAX_DEPENDENCIES}; leave it out for all")
    names = frozenset(item.string_value for item in value.list_value.values)
    for name in names:
        if not SERVICE_NAME.fullmatch(name):
            raise RequestError(f"node.metadata.dependencies: {name[:128]!r} can be no service's name")
    return names
