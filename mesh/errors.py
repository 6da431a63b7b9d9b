"""One table of reasons for both ends of a call.

A program raises `MeshError(Reason.X, "what is wrong and what to do")`. The server's interceptor turns it into the
canonical status of the table with a `google.rpc.ErrorInfo` (AIP-193); the caller gets it back with `MeshError.of`.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Any

import grpc
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc import StatusCode

DOMAIN = "suho"
# gRPC refuses headers beyond 8 KiB; the details repeat the message.
MAX_MESSAGE = 1500


class Reason(StrEnum):
    """Why a call was refused."""

    # anywhere
    INVALID_ARGUMENT = "INVALID_ARGUMENT"
    INTERNAL = "INTERNAL"
    UNREACHABLE = "UNREACHABLE"
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    SHUTTING_DOWN = "SHUTTING_DOWN"
    INVALID_PAGE = "INVALID_PAGE"
    ENGINE_UNAVAILABLE = "ENGINE_UNAVAILABLE"
    # hub
    INSTANCE_ID_TAKEN = "INSTANCE_ID_TAKEN"
    NOT_REGISTERED = "NOT_REGISTERED"
    SESSION_REPLACED = "SESSION_REPLACED"
    UNKNOWN_SERVICE = "UNKNOWN_SERVICE"
    REVISION_COMPACTED = "REVISION_COMPACTED"
    TOO_MANY_INSTANCES = "TOO_MANY_INSTANCES"
    SERVICE_OFFERED_ELSEWHERE = "SERVICE_OFFERED_ELSEWHERE"
    UNKNOWN_INSTANCE = "UNKNOWN_INSTANCE"
    UNKNOWN_TARGET = "UNKNOWN_TARGET"
    LAST_ENDPOINT = "LAST_ENDPOINT"
    TOO_MANY_DRAINS = "TOO_MANY_DRAINS"
    TOO_MANY_POLICIES = "TOO_MANY_POLICIES"
    TOO_MANY_CONFIGS = "TOO_MANY_CONFIGS"
    UNKNOWN_VERSION = "UNKNOWN_VERSION"
    SECRET_REFUSED = "SECRET_REFUSED"
    CONCURRENT_WRITE = "CONCURRENT_WRITE"
    STORE_AWAY = "STORE_AWAY"
    # market
    MALFORMED_BATCH = "MALFORMED_BATCH"
    BATCH_TOO_LARGE = "BATCH_TOO_LARGE"
    SYMBOL_NOT_OPEN = "SYMBOL_NOT_OPEN"
    UNKNOWN_SYMBOL = "UNKNOWN_SYMBOL"
    LOG_UNAVAILABLE = "LOG_UNAVAILABLE"
    NO_SOURCE = "NO_SOURCE"
    HISTORY_UNAVAILABLE = "HISTORY_UNAVAILABLE"
    AUDIT_RUNNING = "AUDIT_RUNNING"
    # trading
    UNKNOWN_ACCOUNT = "UNKNOWN_ACCOUNT"
    UNKNOWN_ORDER = "UNKNOWN_ORDER"
    UNKNOWN_RECORD = "UNKNOWN_RECORD"
    ACCOUNT_MOVED = "ACCOUNT_MOVED"
    SIGNAL_ID_REUSED = "SIGNAL_ID_REUSED"
    AGENT_REPLACED = "AGENT_REPLACED"
    EPOCH_SUPERSEDED = "EPOCH_SUPERSEDED"
    REPORT_CONFLICT = "REPORT_CONFLICT"
    LIVE_MONEY_NOT_ALLOWED = "LIVE_MONEY_NOT_ALLOWED"
    LEASE_HELD = "LEASE_HELD"
    AGENT_NOT_CONNECTED = "AGENT_NOT_CONNECTED"
    UNKNOWN_TICKET = "UNKNOWN_TICKET"
    ENGINE_AWAY = "ENGINE_AWAY"
    NOT_ALL_CLOSED = "NOT_ALL_CLOSED"
    # the agent's own service
    TOKEN_WRONG = "TOKEN_WRONG"
    NOT_IN_DOUBT = "NOT_IN_DOUBT"
    TERMINAL_AWAY = "TERMINAL_AWAY"


STATUS: Mapping[Reason, StatusCode] = MappingProxyType(
    {
        Reason.INVALID_ARGUMENT: StatusCode.INVALID_ARGUMENT,
        Reason.INTERNAL: StatusCode.INTERNAL,
        Reason.UNREACHABLE: StatusCode.UNAVAILABLE,
        Reason.DEADLINE_EXCEEDED: StatusCode.DEADLINE_EXCEEDED,
        Reason.SHUTTING_DOWN: StatusCode.UNAVAILABLE,
        Reason.INVALID_PAGE: StatusCode.INVALID_ARGUMENT,
        Reason.ENGINE_UNAVAILABLE: StatusCode.UNAVAILABLE,
        Reason.INSTANCE_ID_TAKEN: StatusCode.ALREADY_EXISTS,
        Reason.NOT_REGISTERED: StatusCode.FAILED_PRECONDITION,
        Reason.SESSION_REPLACED: StatusCode.ABORTED,
        Reason.UNKNOWN_SERVICE: StatusCode.NOT_FOUND,
        Reason.REVISION_COMPACTED: StatusCode.OUT_OF_RANGE,
        Reason.TOO_MANY_INSTANCES: StatusCode.RESOURCE_EXHAUSTED,
        Reason.SERVICE_OFFERED_ELSEWHERE: StatusCode.ALREADY_EXISTS,
        Reason.UNKNOWN_INSTANCE: StatusCode.NOT_FOUND,
        Reason.UNKNOWN_TARGET: StatusCode.NOT_FOUND,
        Reason.LAST_ENDPOINT: StatusCode.FAILED_PRECONDITION,
        Reason.TOO_MANY_DRAINS: StatusCode.RESOURCE_EXHAUSTED,
        Reason.TOO_MANY_POLICIES: StatusCode.RESOURCE_EXHAUSTED,
        Reason.TOO_MANY_CONFIGS: StatusCode.RESOURCE_EXHAUSTED,
        Reason.UNKNOWN_VERSION: StatusCode.NOT_FOUND,
        Reason.SECRET_REFUSED: StatusCode.INVALID_ARGUMENT,
        Reason.CONCURRENT_WRITE: StatusCode.ABORTED,
        Reason.STORE_AWAY: StatusCode.UNAVAILABLE,
        Reason.MALFORMED_BATCH: StatusCode.INVALID_ARGUMENT,
        Reason.BATCH_TOO_LARGE: StatusCode.INVALID_ARGUMENT,
        Reason.SYMBOL_NOT_OPEN: StatusCode.FAILED_PRECONDITION,
        Reason.UNKNOWN_SYMBOL: StatusCode.NOT_FOUND,
        Reason.LOG_UNAVAILABLE: StatusCode.UNAVAILABLE,
        Reason.NO_SOURCE: StatusCode.NOT_FOUND,
        Reason.HISTORY_UNAVAILABLE: StatusCode.UNAVAILABLE,
        Reason.AUDIT_RUNNING: StatusCode.FAILED_PRECONDITION,
        Reason.UNKNOWN_ACCOUNT: StatusCode.NOT_FOUND,
        Reason.UNKNOWN_ORDER: StatusCode.NOT_FOUND,
        Reason.UNKNOWN_RECORD: StatusCode.NOT_FOUND,
        Reason.ACCOUNT_MOVED: StatusCode.FAILED_PRECONDITION,
        Reason.SIGNAL_ID_REUSED: StatusCode.ALREADY_EXISTS,
        Reason.AGENT_REPLACED: StatusCode.ABORTED,
        Reason.EPOCH_SUPERSEDED: StatusCode.FAILED_PRECONDITION,
        Reason.REPORT_CONFLICT: StatusCode.INVALID_ARGUMENT,
        Reason.LIVE_MONEY_NOT_ALLOWED: StatusCode.FAILED_PRECONDITION,
        Reason.LEASE_HELD: StatusCode.FAILED_PRECONDITION,
        Reason.AGENT_NOT_CONNECTED: StatusCode.FAILED_PRECONDITION,
        Reason.UNKNOWN_TICKET: StatusCode.NOT_FOUND,
        Reason.ENGINE_AWAY: StatusCode.UNAVAILABLE,
        Reason.NOT_ALL_CLOSED: StatusCode.FAILED_PRECONDITION,
        Reason.TOKEN_WRONG: StatusCode.UNAUTHENTICATED,
        Reason.NOT_IN_DOUBT: StatusCode.FAILED_PRECONDITION,
        Reason.TERMINAL_AWAY: StatusCode.UNAVAILABLE,
    }
)

# What a foreign or transport error, which bears no reason of ours, is called.
_REASON_OF_STATUS: Mapping[StatusCode, Reason] = MappingProxyType(
    {
        StatusCode.UNAVAILABLE: Reason.UNREACHABLE,
        StatusCode.DEADLINE_EXCEEDED: Reason.DEADLINE_EXCEEDED,
        StatusCode.INVALID_ARGUMENT: Reason.INVALID_ARGUMENT,
    }
)


class MeshError(Exception):
    """A refusal with a reason that programs act on and a sentence for people."""

    def __init__(self, reason: Reason, message: str, **metadata: object) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.metadata = {key: str(value) for key, value in metadata.items()}

    @property
    def code(self) -> StatusCode:
        return STATUS[self.reason]

    def status(self) -> status_pb2.Status:
        """The error as it travels: canonical code, sentence, ErrorInfo."""
        info = error_details_pb2.ErrorInfo(reason=self.reason, domain=DOMAIN, metadata=self.metadata)
        detail = any_pb2.Any()
        detail.Pack(info)
        return status_pb2.Status(code=self.code.value[0], message=self.message[:MAX_MESSAGE], details=[detail])

    @classmethod
    def of(cls, error: grpc.RpcError) -> "MeshError":
        """The refusal that a failed call carries; transport errors become UNREACHABLE or the like."""
        code: StatusCode = error.code()
        message: str = error.details() or code.name
        for key, value in _metadata(error):
            if key == "grpc-status-details-bin":
                told = _told(status_pb2.Status.FromString(value))
                if told is not None:
                    return cls(Reason(told.reason), message, **dict(told.metadata))
        return cls(_REASON_OF_STATUS.get(code, Reason.INTERNAL), f"{message} ({code.name})")

    @classmethod
    def of_status(cls, status: status_pb2.Status) -> "MeshError":
        """A refusal that travelled as `status()` made it, by another way than a call."""
        told = _told(status)
        if told is None:
            return cls(Reason.INTERNAL, status.message)
        return cls(Reason(told.reason), status.message, **dict(told.metadata))


def _told(status: status_pb2.Status) -> error_details_pb2.ErrorInfo | None:
    for detail in status.details:
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info) and info.domain == DOMAIN and info.reason in Reason.__members__:
            return info
    return None


def _metadata(error: Any) -> list[tuple[str, Any]]:
    return list(error.trailing_metadata() or ())
