"""Entries of the registry's store, for tests."""

from hub.domain.drain import Drain, Target, TargetKind
from hub.domain.instance import Address, Instance
from hub.domain.state import Record
from hub.domain.status import Status


def record(
    instance_id: str = "echo-1", status: Status = Status.UP, *, owner: str = "hub-1", zone: str = "", **more: object
) -> Record:
    """A record of the service that its id begins with."""
    service = instance_id.rpartition("-")[0] or "echo"
    said = Instance(instance_id, service, addresses=(Address("grpc", "127.0.0.1", 1),), zone=zone, status=status)
    return Record(said, b"digest", owner, **more)  # type: ignore[arg-type]


def drain(kind: TargetKind, name: str, status: Status = Status.DRAINING) -> Drain:
    """An order."""
    return Drain(Target(kind, name), status, "a new disk", "ann", 1)
