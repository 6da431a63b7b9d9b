"""Statuses between the wire and the domain."""

from suho.hub.v1 import registry_pb2 as pb

from hub.domain.admission import AdmissionError
from hub.domain.status import Status

_PREFIX = "INSTANCE_STATUS_"


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
