"""What the registry knows of one running program."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

GRPC_ADDRESS = "grpc"
"""The name of the address that discovery hands out."""

DEFAULT_WEIGHT = 100


class Status(StrEnum):
    """Whether an instance may be called; only UP ones are handed out."""

    STARTING = "STARTING"
    UP = "UP"
    DRAINING = "DRAINING"
    OUT_OF_SERVICE = "OUT_OF_SERVICE"
    DOWN = "DOWN"
    EXPIRED = "EXPIRED"


@dataclass(frozen=True, slots=True)
class Address:
    """One listening address; hosts are IP literals. Empty published parts mean the same as inside."""

    name: str
    host: str
    port: int
    published_host: str = ""
    published_port: int = 0


@dataclass(frozen=True, slots=True)
class Instance:
    """One running program as watchers and discovery see it."""

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
    kept_endpoint: bool = False
    """EXPIRED, but the last endpoint its service has: discovery keeps it rather than leave callers with nothing."""

    def address(self, name: str) -> Address | None:
        """Its address of that name, if it has one."""
        return next((address for address in self.addresses if address.name == name), None)
