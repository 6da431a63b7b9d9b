"""gRPC's health service; a server without one that answers is reachable, and counts as healthy."""

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from hub.health.probes import tcp
from hub.health.probes.check import ProbeError, Target
from mesh.channel import direct_channel

_Status = health_pb2.HealthCheckResponse.ServingStatus
_ANSWERED = {
    grpc.StatusCode.UNIMPLEMENTED: "it has no health service, but it answers",
    grpc.StatusCode.UNAUTHENTICATED: "it tells only those whom it knows, but it answers",
    grpc.StatusCode.PERMISSION_DENIED: "it does not tell us, but it answers",
}


async def check(target: Target) -> str:
    async with direct_channel([str(target)]) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        try:
            response = await stub.Check(health_pb2.HealthCheckRequest(service=target.path))
        except grpc.aio.AioRpcError as error:
            return await _meaning(target, error)
    if response.status != _Status.SERVING:
        raise ProbeError(f"its health service says {_name(response.status)}")
    return ""


async def _meaning(target: Target, error: grpc.aio.AioRpcError) -> str:
    code = error.code()
    if code in _ANSWERED:
        return _ANSWERED[code]
    if code is grpc.StatusCode.NOT_FOUND:
        raise ProbeError(f"its health service does not know {target.path!r}")
    if code is grpc.StatusCode.UNAVAILABLE:
        await tcp.check(target)  # its refusal is the better sentence
        raise ProbeError(f"it accepts connections, but gRPC calls fail: {(error.details() or '')[:200]}")
    raise ProbeError(f"its health service answered {code.name}: {(error.details() or '')[:200]}")


def _name(status: int) -> str:
    return _Status.Name(status) if status in _Status.values() else str(status)
