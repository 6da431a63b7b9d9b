"""What the registry knows of one running program."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from hub.domain.drain import Drain
from hub.domain.health import Health, Probe
from hub.domain.status import Status

GRPC_ADDRESS = "grpc"
"""The name of the address that discovery hands out."""

DEFAULT_WEIGHT = 100


@dataclass(frozen=True, slots=True)
class Address:
    """One listening address. Empty published parts mean the same as inside; the hub resolves hosts to IP literals."""

    name: str
    host: str
    port: int
    published_host: str = ""
    published_port: int = 0
    ip: str = ""
    published_ip: str = ""


@dataclass(frozen=True, slots=True)
class Method:
    """A unary gRPC method (`package.Service/Method`), and whether it may be called twice."""

    path: str
    idempotent: bool


@dataclass(frozen=True, slots=True)
class Instance:
    """One running program as watchers and discovery see it.

    In a record, `status` is its own word; in the catalog it is what counts, and `reported_status` its own word.
    """

    id: str
    service: str
    version: str = ""
    addresses: tuple[Address, ...] = ()
    zone: str = ""
    weight: int = DEFAULT_WEIGHT
    metadata: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    grpc_services: tuple[str, ...] = ()
    dependencies: tuple[str, ...] = ()
    status: Status = Status.STARTING
    status_reason: str = ""
    revision: int = 0
    registered_unix_ms: int = 0
    process_id: int = 0
    methods: tuple[Method, ...] = ()
    probe: Probe | None = None
    reported_status: Status = Status.STARTING
    reported_reason: str = ""
    health: Health = field(default_factory=Health)
    drain: Drain | None = None
    hub: str = ""
    doubted: bool = False
    """Silent, unreachable or flapping: an endpoint only where its service has nothing better."""

    def address(self, name: str) -> Address | None:
        """Its address of that name, if it has one."""
        return next((address for address in self.addresses if address.name == name), None)
