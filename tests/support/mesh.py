"""A mesh for tests of how calls travel: a hub, backends of one service, and its policies."""

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from suho.hub.v1 import registry_pb2 as pb
from suho.hub.v1 import traffic_pb2, traffic_pb2_grpc

from mesh.channel import direct_channel
from mesh.session import HubSession
from tests.support.hub import ECHO, Backend, RunningHub, instance, registered, run_backend, run_hub

_SERVER = Path(__file__).with_name("plain_server.py")


@dataclass(frozen=True)
class Member:
    """A backend and its session."""

    backend: Backend
    session: HubSession


@dataclass(frozen=True)
class Mesh:
    """A running hub, to which backends are added."""

    hub: RunningHub
    traffic: "traffic_pb2_grpc.TrafficServiceAsyncStub"
    _stack: AsyncExitStack

    async def add(
        self, name: str, service: str = "echo", offers: str = ECHO, *, idempotent: bool = False, **fields: Any
    ) -> Member:
        """A backend that is UP; whatever it says it offers, it answers `Who` of echo."""
        backend = await self._stack.enter_async_context(run_backend(name))
        made = instance(name, service, backend.port, [offers])
        made.methods.add(path=f"{offers}/Who", idempotent=idempotent)
        made.MergeFrom(pb.Instance(**fields))
        return Member(backend, await self._stack.enter_async_context(registered(self.hub.address, made)))

    async def add_process(self, name: str) -> Process:
        """A backend of service echo, idempotent, in a process of its own that can be killed; its session stays."""
        process = await asyncio.create_subprocess_exec(sys.executable, "-I", str(_SERVER), name, ECHO, stdout=PIPE)
        self._stack.push_async_callback(_ended, process)
        assert process.stdout is not None
        made = instance(name, "echo", int(await process.stdout.readline()))
        made.methods.add(path=f"{ECHO}/Who", idempotent=True)
        await self._stack.enter_async_context(registered(self.hub.address, made))
        return process

    async def put_policy(self, **fields: Any) -> traffic_pb2.ServicePolicy:
        """Replace the policy of service echo."""
        policy = traffic_pb2.ServicePolicy(service="echo", **fields)
        return (await self.traffic.PutPolicy(traffic_pb2.PutPolicyRequest(policy=policy), timeout=5)).policy


async def _ended(process: Process) -> None:
    if process.returncode is None:
        process.kill()
    await process.wait()


@asynccontextmanager
async def run_mesh(**settings: Any) -> AsyncIterator[Mesh]:
    """A mesh without members."""
    async with run_hub(**settings) as hub, direct_channel([hub.address]) as channel, AsyncExitStack() as stack:
        yield Mesh(hub, traffic_pb2_grpc.TrafficServiceStub(channel), stack)
