"""Entries of the shared store as bytes. Drains, policies and versions of documents are kept as they are on the wire."""

from google.protobuf.message import DecodeError, Message
from suho.hub.v1 import registry_pb2, store_pb2, traffic_pb2

from hub.domain.admission import AdmissionError
from hub.domain.configuration import Configuration
from hub.domain.drain import Drain
from hub.domain.policy import Policy
from hub.domain.state import Entry, Record
from hub.messages.configurations import configuration_from, configuration_to
from hub.messages.drains import drain_from, drain_to
from hub.messages.policies import policy_from, policy_to
from hub.messages.records import record_from, record_to


class UnreadableError(ValueError):
    """Not an entry that this hub understands: something else wrote it, or a newer hub."""


def entry_to(entry: Entry) -> bytes:
    """An entry as bytes, the same ones for the same entry."""
    return _message(entry).SerializeToString(deterministic=True)


def entry_from(kind: str, data: bytes) -> Entry:
    """An entry of a kind ("instance", "drain", "policy", "config") from its bytes.

    Raises:
        UnreadableError: it is not one.
    """
    try:
        match kind:
            case "instance":
                return record_from(store_pb2.StoredInstance.FromString(data))
            case "drain":
                return drain_from(registry_pb2.Drain.FromString(data))
            case "policy":
                return policy_from(traffic_pb2.ServicePolicy.FromString(data))
            case "config":
                return configuration_from(store_pb2.StoredConfig.FromString(data))
    except (DecodeError, AdmissionError) as error:
        raise UnreadableError(str(error)) from None
    raise UnreadableError(f"there is no kind {kind!r}")


def _message(entry: Entry) -> Message:
    match entry:
        case Record():
            return record_to(entry)
        case Drain():
            return drain_to(entry)
        case Policy():
            return policy_to(entry)
        case Configuration():
            return configuration_to(entry)
