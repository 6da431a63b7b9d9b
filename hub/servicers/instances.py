"""Instances between the wire and the domain."""

from suho.hub.v1 import registry_pb2 as pb

from hub.domain.admission import AdmissionError
from hub.domain.catalog import Change, ServiceSummary
from hub.domain.instance import DEFAULT_WEIGHT, Address, Instance
from hub.domain.status import Status

_PREFIX = "INSTANCE_STATUS_"

# Beyond this a registration is not read field by field.
_MAX_BYTES = 64 * 1024


def instance_from(message: pb.Instance) -> Instance:
    """What a program says of itself; fields that the hub sets are not taken over.

    Raises:
        AdmissionError: too large, or its status is not set or unknown.
    """
    if message.ByteSize() > _MAX_BYTES:
        raise AdmissionError(f"an instance takes at most {_MAX_BYTES} bytes, this one {message.ByteSize()}")
    return Instance(
        id=message.id,
        service=message.service,
        version=message.version,
        addresses=tuple(
            Address(item.name, item.host, item.port, item.published_host, item.published_port)
            for item in message.addresses
        ),
        zone=message.zone,
        weight=message.weight or DEFAULT_WEIGHT,
        metadata=dict(message.metadata),
        grpc_services=tuple(message.grpc_services),
        dependencies=tuple(message.dependencies),
        status=status_from(message.status),
        status_reason=message.status_reason,
        process_id=message.process_id,
    )


def status_from(status: "pb.InstanceStatus.ValueType") -> Status:
    """The status in the domain.

    Raises:
        AdmissionError: unspecified or unknown.
    """
    name = pb.InstanceStatus.Name(status) if status in pb.InstanceStatus.values() else str(status)
    if name.removeprefix(_PREFIX) not in Status.__members__:
        raise AdmissionError(f"status {name} says nothing; set one of STARTING, UP, DRAINING, OUT_OF_SERVICE, DOWN")
    return Status[name.removeprefix(_PREFIX)]


def status_to(status: Status) -> "pb.InstanceStatus.ValueType":
    """The status on the wire."""
    return pb.InstanceStatus.Value(_PREFIX + status)


def address_to(address: Address) -> pb.Address:
    """An address on the wire."""
    return pb.Address(
        name=address.name,
        host=address.host,
        port=address.port,
        published_host=address.published_host,
        published_port=address.published_port,
    )


def instance_to(instance: Instance) -> pb.Instance:
    """An instance on the wire."""
    return pb.Instance(
        id=instance.id,
        service=instance.service,
        version=instance.version,
        addresses=[address_to(address) for address in instance.addresses],
        zone=instance.zone,
        weight=instance.weight,
        metadata=dict(instance.metadata),
        grpc_services=instance.grpc_services,
        dependencies=instance.dependencies,
        status=status_to(instance.status),
        status_reason=instance.status_reason,
        revision=instance.revision,
        registered_unix_ms=instance.registered_unix_ms,
        process_id=instance.process_id,
    )


def summary_to(summary: ServiceSummary) -> pb.ServiceSummary:
    """A service on the wire."""
    return pb.ServiceSummary(
        service=summary.service,
        instances=summary.instances,
        up=summary.up,
        grpc_services=summary.grpc_services,
        dependencies=summary.dependencies,
    )


def change_to(change: Change) -> pb.InstanceChange:
    """A change on the wire."""
    kind = pb.CHANGE_KIND_REMOVED if change.removed else pb.CHANGE_KIND_PUT
    return pb.InstanceChange(kind=kind, instance=instance_to(change.instance))
