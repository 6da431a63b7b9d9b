"""The table of reasons."""

import grpc
import pytest
from google.rpc import error_details_pb2

from mesh.errors import DOMAIN, MAX_MESSAGE, STATUS, MeshError, Reason


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_has_a_status(reason: Reason) -> None:
    """No refusal is without a canonical status, and none is OK or UNKNOWN."""
    assert reason == reason.name
    assert STATUS[reason] not in (grpc.StatusCode.OK, grpc.StatusCode.UNKNOWN)


def test_an_error_travels_with_its_reason() -> None:
    """The status bears ErrorInfo with reason, domain and metadata."""
    status = MeshError(Reason.UNKNOWN_SYMBOL, "no symbol X", symbol="X").status()
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert (info.reason, info.domain, dict(info.metadata)) == ("UNKNOWN_SYMBOL", DOMAIN, {"symbol": "X"})
    assert status.code == grpc.StatusCode.NOT_FOUND.value[0]


def test_a_transport_error_is_unreachable() -> None:
    """What bears no reason of ours is named by its status."""
    error = grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata(), "gone")
    assert MeshError.of(error).reason is Reason.UNREACHABLE


def test_a_long_message_fits_into_a_header() -> None:
    """gRPC drops headers beyond 8 KiB: messages are cut."""
    assert len(MeshError(Reason.INTERNAL, "x" * 10_000).status().message) == MAX_MESSAGE
