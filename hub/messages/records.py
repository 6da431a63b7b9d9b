"""Records of the shared store between the wire and the domain."""

from dataclasses import replace

from suho.hub.v1 import store_pb2

from hub.domain.state import Expiry, Record
from hub.messages.health import health_from, health_to
from hub.messages.instances import address_from, instance_from, registration_to


def record_from(message: store_pb2.StoredInstance) -> Record:
    """A record as a hub wrote it.

    Raises:
        AdmissionError: what is not known here, as a newer hub may write it.
    """
    stored = message.instance
    instance = replace(
        instance_from(stored),
        addresses=tuple(
            replace(address_from(item), ip=item.ip, published_ip=item.published_ip) for item in stored.addresses
        ),
        registered_unix_ms=stored.registered_unix_ms,
    )
    expiry = None
    if message.HasField("expiry"):
        expiry = Expiry(message.expiry.reason, message.expiry.silent, message.expiry.unix_ms)
    return Record(instance, message.token_digest, message.owner, health_from(stored.health), expiry)


def record_to(record: Record) -> store_pb2.StoredInstance:
    """A record on the wire."""
    message = store_pb2.StoredInstance(
        instance=registration_to(record.instance), token_digest=record.token_digest, owner=record.owner
    )
    message.instance.health.CopyFrom(health_to(record.health))
    if (expiry := record.expiry) is not None:
        message.expiry.CopyFrom(
            store_pb2.StoredExpiry(reason=expiry.reason, silent=expiry.silent, unix_ms=expiry.unix_ms)
        )
    return message
