"""Instances between the wire and the domain."""

from suho.hub.v1 import registry_pb2 as pb

from hub.domain.admission import AdmissionError
from hub.domain.catalog import Change, ServiceSummary
from hub.domain.instance import DEFAULT_WEIGHT, Address, Instance, Method
from hub.messages.drains import drain_to
from hub.messages.health import health_to, probe_from, probe_to
from hub.messages.statuses import status_from, status_to

# Beyond this a registration is not read field by field.
_MAX_BYTES = 64 * 1024


def instance_from(message: pb.Instance) -> Instance:
    """What a program says of itself; fields that the hub sets are not taken over.

    Raises:
        AdmissionError: too large, or its status or probe is not set or unknown.
    """
    if message.ByteSize() > _MAX_BYTES:
        raise AdmissionError(f"an instance takes at most {_MAX_BYTES} bytes, this one {message.ByteSize()}")
    return Instance(
        id=message.id,
        service=message.service,
        version=message.version,
        addresses=tuple(address_from(item) for item in message.addresses),
        zone=message.zone,
        weight=message.weight or DEFAULT_WEIGHT,
        metadata=dict(message.metadata),
        grpc_services=tuple(message.grpc_services),
        dependencies=tuple(message.dependencies),
        status=status_from(message.status),
        status_reason=message.status_reason,
        process_id=message.process_id,
        methods=tuple(Method(item.path, item.idempotent) for item in message.methods),
        probe=probe_from(message.probe) if message.HasField("probe") else None,
    )


def instance_to(instance: Instance) -> pb.Instance:
    """An instance on the wire, with what the hub knows of it."""
    message = registration_to(instance)
    message.revision = instance.revision
    message.reported_status = status_to(instance.reported_status)
    message.reported_reason = instance.reported_reason
    message.health.CopyFrom(health_to(instance.health))
    if instance.drain is not None:
        message.drain.CopyFrom(drain_to(instance.drain))
    message.hub = instance.hub
    message.doubted = instance.doubted
    return message


def registration_to(instance: Instance) -> pb.Instance:
    """What an instance said of itself, where its addresses lead, and since when it is registered."""
    message = pb.Instance(
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
        registered_unix_ms=instance.registered_unix_ms,
        process_id=instance.process_id,
        methods=[pb.GrpcMethod(path=method.path, idempotent=method.idempotent) for method in instance.methods],
    )
    if instance.probe is not None:
        message.probe.CopyFrom(probe_to(instance.probe))
    return message


def address_from(message: pb.Address) -> Address:
    """An address as a program says it."""
    return Address(message.name, message.host, message.port, message.published_host, message.published_port)


def address_to(address: Address) -> pb.Address:
    """An address on the wire."""
    return pb.Address(
        name=address.name,
        host=address.host,
        port=address.port,
        published_host=address.published_host,
        published_port=address.published_port,
        ip=address.ip,
        published_ip=address.published_ip,
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
