"""Why a call failed, by layer: each has its exit status and says what to do next."""

import difflib
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Any

import grpc
from google.protobuf import descriptor_pool
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2
from grpc import StatusCode


class Layer(StrEnum):
    """How far a call got."""

    UNREACHABLE = "unreachable"
    TLS = "tls"
    AUTHORISATION = "authorisation"
    UNIMPLEMENTED = "unimplemented"
    REQUEST = "request"
    DEADLINE = "deadline"
    APPLICATION = "application"


EXIT_STATUS = {
    Layer.APPLICATION: 1,
    Layer.REQUEST: 2,
    Layer.UNREACHABLE: 3,
    Layer.DEADLINE: 3,
    Layer.TLS: 4,
    Layer.AUTHORISATION: 5,
    Layer.UNIMPLEMENTED: 6,
}

_LAYER_OF_STATUS = {
    StatusCode.UNAVAILABLE: Layer.UNREACHABLE,
    StatusCode.DEADLINE_EXCEEDED: Layer.DEADLINE,
    StatusCode.UNAUTHENTICATED: Layer.AUTHORISATION,
    StatusCode.PERMISSION_DENIED: Layer.AUTHORISATION,
    StatusCode.UNIMPLEMENTED: Layer.UNIMPLEMENTED,
}

_NEXT = {
    Layer.UNREACHABLE: "`suho instances` tells who is there and why one is not; `suho logs NAME` has its log",
    Layer.DEADLINE: "it may have been done: ask before you repeat it; --timeout waits longer",
    Layer.AUTHORISATION: "say who you are with --header 'authorization: …', or ask for the right that it names",
    Layer.UNIMPLEMENTED: "the server knows the method and does not serve it: ask one of another version (--instance)",
}

# What grpc.aio says when a write meets the end of a stream, instead of the status that ended it.
_LOST_IN_GRPC = "Internal error from Core"
# Of a detail: stands in the sentence already, or is for programs.
_TOLD = frozenset({"@type", "reason", "domain"})


class CallError(Exception):
    """A call that failed in a layer; `status`, `reason` and `details` are the server's, where it answered."""

    def __init__(
        self,
        layer: Layer,
        message: str,
        advice: str = "",
        status: str = "",
        reason: str = "",
        details: Sequence[dict[str, Any]] = (),
    ) -> None:
        super().__init__(message)
        self.layer = layer
        self.message = message
        self.advice = advice
        self.status = status
        self.reason = reason
        self.details = tuple(details)

    def to_json(self) -> dict[str, Any]:
        return {
            "layer": self.layer.value,
            "message": self.message,
            "next": self.advice,
            "status": self.status,
            "reason": self.reason,
            "details": list(self.details),
        }

    def to_text(self) -> str:
        told = f" [{' '.join(word for word in (self.status, self.reason) if word)}]" if self.status else ""
        lines = [f"{self.layer.value}: {self.message}{told}"]
        lines += [f"  {key}: {value}" for detail in self.details for key, value in detail.items() if key not in _TOLD]
        return "\n".join([*lines, f"  → {self.advice}"] if self.advice else lines)


def failure_of(error: grpc.aio.AioRpcError, advice: str = "", pool: Any = None) -> CallError:
    """The layer of a failed call. Statuses with details were written by a server that was reached: an UNAVAILABLE with
    them is its own word, not the network's. `pool` knows the types of the server's own details."""
    code = error.code()
    details = _details(error, pool or descriptor_pool.Default())
    layer = _LAYER_OF_STATUS.get(code, Layer.APPLICATION)
    if layer is Layer.UNREACHABLE and details:
        layer = Layer.APPLICATION
    if error.details() == _LOST_IN_GRPC:
        return CallError(
            layer,
            "the server ended the call while messages were being sent, and gRPC lost its word",
            "send the first message alone: what is said to it comes whole",
            code.name,
        )
    reason = next((str(detail["reason"]) for detail in details if "reason" in detail), "")
    return CallError(
        layer, error.details() or "no sentence was sent", advice or _NEXT.get(layer, ""), code.name, reason, details
    )


def _details(error: grpc.aio.AioRpcError, pool: Any) -> list[dict[str, Any]]:
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin" and isinstance(value, bytes):
            try:
                status = status_pb2.Status.FromString(value)
            except DecodeError:
                return []
            return [_detail(item, pool) for item in status.details]
    return []


def _detail(item: Any, pool: Any) -> dict[str, Any]:
    info = error_details_pb2.ErrorInfo()
    if item.Unpack(info):
        return {"@type": item.type_url, "reason": info.reason, "domain": info.domain, **_of(info.metadata)}
    try:
        return MessageToDict(item, preserving_proto_field_name=True, descriptor_pool=pool)
    except (TypeError, DecodeError):  # of a type that nobody here knows
        return {"@type": item.type_url, "bytes": len(item.value)}


def _of(metadata: Any) -> dict[str, Any]:
    return {"metadata": dict(metadata)} if metadata else {}


def near(wanted: str, known: Iterable[str]) -> str:
    """ "; did you mean a or b?", or what there is, or nothing. Names are compared by their last part, in any case."""
    by_part: dict[str, list[str]] = {}
    for name in sorted(set(known)):
        by_part.setdefault(name.rpartition(".")[2].casefold(), []).append(name)
    last = wanted.rpartition(".")[2].casefold()
    found = [name for part in difflib.get_close_matches(last, by_part, 3) for name in by_part[part]]
    if found:
        return f"; did you mean {' or '.join(found)}?"
    return f"; there are {', '.join(name for names in by_part.values() for name in names)}" if by_part else ""
