"""Why a lane's stream ended."""

import grpc

from mesh.errors import MeshError


def reason_of(group: BaseExceptionGroup[grpc.aio.AioRpcError]) -> str:
    """The failed calls of a task group, in words."""
    reasons = [
        reason_of(error) if isinstance(error, BaseExceptionGroup) else str(MeshError.of(error))
        for error in group.exceptions
    ]
    return "; ".join(reasons)
