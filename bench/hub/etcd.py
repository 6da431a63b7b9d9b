"""What a program says to etcd where it would say it to a hub: put under a lease, keep the lease, watch a prefix."""

import asyncio
from collections.abc import Callable
from time import perf_counter_ns

from suho.etcd.v3 import rpc_pb2

from bench.hub.h2 import Call, Connection
from bench.race import NoShowError

_PUT = "/etcdserverpb.KV/Put"
_DELETE = "/etcdserverpb.KV/DeleteRange"
_WATCH = "/etcdserverpb.Watch/Watch"
_GRANT = "/etcdserverpb.Lease/LeaseGrant"
_KEEP = "/etcdserverpb.Lease/LeaseKeepAlive"
_PREFIX = b"/suho/instances/"
_BEHIND_PREFIX = b"/suho/instances0"
_LEASE_S = 60


async def put(connection: Connection, name: str, value: bytes, lease: int = 0) -> int:
    """Write a key; when it was asked for, by `perf_counter_ns`. Returns once etcd has confirmed."""
    request = rpc_pb2.PutRequest(key=_PREFIX + name.encode(), value=value, lease=lease).SerializeToString()
    began = perf_counter_ns()
    await connection.ask(_PUT, request)
    return began


async def delete(connection: Connection, name: str) -> None:
    """Remove a key."""
    await connection.ask(_DELETE, rpc_pb2.DeleteRangeRequest(key=_PREFIX + name.encode()).SerializeToString())


async def grant(connection: Connection) -> int:
    """A lease of a minute; its id."""
    answer = await connection.ask(_GRANT, rpc_pb2.LeaseGrantRequest(TTL=_LEASE_S).SerializeToString())
    return rpc_pb2.LeaseGrantResponse.FromString(answer).ID


class KeepAlive:
    """The stream on which one client keeps one lease."""

    def __init__(self, connection: Connection, lease: int) -> None:
        self._request = rpc_pb2.LeaseKeepAliveRequest(ID=lease).SerializeToString()
        self._answer: asyncio.Future[int] | None = None
        self._call: Call = connection.call(_KEEP, self._hear, self._over)

    async def heartbeat(self) -> int:
        """Keep the lease; when the answer was there."""
        self._answer = asyncio.get_running_loop().create_future()
        self._call.send(self._request)
        return await self._answer

    def _hear(self, _message: bytes, now: int) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(now)

    def _over(self, why: str) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(NoShowError(f"etcd ended a lease's stream: {why}"))


async def watch(connection: Connection, seen: Callable[[str, bool, int], None]) -> None:
    """Watch all instances; as `bench.hub.sessions.watch`."""
    started: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def hear(message: bytes, now: int) -> None:
        response = rpc_pb2.WatchResponse.FromString(message)
        if response.created:
            started.set_result(None)
        for event in response.events:
            seen(event.kv.key[len(_PREFIX) :].decode(), event.type == 1, now)

    def over(why: str) -> None:
        if not started.done():
            started.set_exception(NoShowError(f"etcd ended a watch: {why}"))

    create = rpc_pb2.WatchCreateRequest(key=_PREFIX, range_end=_BEHIND_PREFIX)
    connection.call(_WATCH, hear, over).send(rpc_pb2.WatchRequest(create_request=create).SerializeToString())
    await started
