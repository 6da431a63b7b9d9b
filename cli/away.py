"""Calls that nobody answered: who is away, and what that means for what was asked."""

from collections.abc import Iterable
from pathlib import Path

import grpc
from suho.hub.v1 import registry_pb2

from cli.connection import hub
from cli.instances import list_instances
from cli.output import NotAnsweredError
from mesh.errors import MeshError, Reason

# No answer in any of these says whether the call did what it was asked.
NO_ANSWER = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNKNOWN,
    }
)


async def not_answered(state: Path, service: str, error: grpc.aio.AioRpcError) -> NotAnsweredError:
    """Why a call of `service` over the mesh got no answer."""
    refusal = MeshError.of(error)
    if refusal.reason not in (Reason.UNREACHABLE, Reason.DEADLINE_EXCEEDED):
        return NotAnsweredError(f"{refusal.message} [{refusal.reason}]")
    try:
        async with hub(state) as channel:
            instances = (await list_instances(channel)).instances
    except grpc.aio.AioRpcError:
        return NotAnsweredError("nobody answers: is the platform running? `suho up` starts it")
    if gone := away_of(instances):
        return NotAnsweredError(f"{', '.join(gone)} is away: `suho services` tells more, `suho logs NAME` why")
    return NotAnsweredError(f"the hub answers, {service} does not ({refusal.message}): `suho services` tells more")


def away_of(instances: Iterable[registry_pb2.Instance]) -> list[str]:
    """Services that should be there, for others depend on them, and have no instance that is UP."""
    known = list(instances)
    wanted = {one.service for one in known}.union(*(one.dependencies for one in known))
    return sorted(wanted - {one.service for one in known if one.status == registry_pb2.INSTANCE_STATUS_UP})
