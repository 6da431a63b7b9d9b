"""Several hubs over one store, instances that hold sessions with them, and stock clients that call all the while."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import grpc
from suho.hub.v1 import registry_pb2 as pb

from mesh.config import MeshSettings
from mesh.environment import child_environment
from mesh.session import open_session
from tests.support.hub import Backend, RunningHub, connected, instance, run_backend
from tests.support.plain_client import WHO, PlainClient, run_client
from tests.support.waiting import eventually, free_port

# Runs the hub with a wall clock that is wrong by the first argument, in seconds.
_WRONG_CLOCK = """
import runpy, sys, time
off = float(sys.argv.pop(1))
right, right_ns = time.time, time.time_ns
time.time = lambda: right() + off
time.time_ns = lambda: right_ns() + int(off * 1e9)
runpy.run_module("hub", run_name="__main__", alter_sys=True)
"""
_STEP_S = 0.05


@dataclass
class HubProcess:
    """One hub; it can be killed, paused, and started again at its address."""

    name: str
    port: int
    nats_url: str
    clock_off_s: float = 0.0
    options: tuple[str, ...] = ()
    process: Process | None = field(default=None, repr=False)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def start(self) -> None:
        how = ("-c", _WRONG_CLOCK, str(self.clock_off_s)) if self.clock_off_s else ("-m", "hub")
        settings = ("--instance", self.name, "--port", str(self.port), *self.options)
        # The address of NATS bears a password: not on the command line.
        environment = child_environment({"SUHO_HUB_NATS_URL": self.nats_url})
        self.process = await asyncio.create_subprocess_exec(sys.executable, *how, *settings, env=environment)

    async def kill(self) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.kill()
            await self.process.wait()

    @asynccontextmanager
    async def paused(self) -> AsyncIterator[None]:
        self.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.signal(signal.SIGCONT)

    def signal(self, number: int) -> None:
        assert self.process is not None
        os.kill(self.process.pid, number)


@dataclass
class Mesh:
    """What a fault is done to."""

    hubs: tuple[HubProcess, ...]
    backends: tuple[Backend, ...]
    clients: tuple[PlainClient, ...]
    _stack: AsyncExitStack = field(repr=False)

    @property
    def addresses(self) -> tuple[str, ...]:
        return tuple(hub.address for hub in self.hubs)

    async def ask(self, hub: HubProcess) -> RunningHub:
        """A connection of its own to that hub."""
        return await self._stack.enter_async_context(connected(hub.address))

    async def converged(self, within_s: float = 30.0, at: tuple[HubProcess, ...] = ()) -> None:
        """Every hub (or those `at`) says of every backend that it is UP, at one revision."""
        asked = [await self.ask(hub) for hub in at or self.hubs]

        async def agree() -> bool:
            answers = [await _listed(one) for one in asked]
            up = [{i.id for i in answer.instances if i.status == pb.INSTANCE_STATUS_UP} for answer in answers]
            wanted = {backend.name for backend in self.backends}
            assert all(wanted <= ids for ids in up), f"UP are {up}"
            assert len({answer.revision for answer in answers}) == 1, [answer.revision for answer in answers]
            return True

        await eventually(agree, within_s, _STEP_S)

    async def holder(self) -> HubProcess:
        """The hub that holds most of the backends' leases."""
        instances = (await (await self.ask(self.hubs[0])).instances()).values()
        held = [one.hub for one in instances if one.service == "echo"]
        return max(self.hubs, key=lambda hub: held.count(hub.name))

    async def calls(self) -> int:
        """How many calls were made so far."""
        return sum(backend.calls for backend in self.backends)

    async def errors(self) -> list[object]:
        """End the load; every failed call there was."""
        outcomes = [await client.ask("stop") for client in self.clients]
        assert all(outcome["calls"] > 20 for outcome in outcomes), "the load did not run"
        return [error for outcome in outcomes for error in outcome["errors"]]


async def _listed(hub: RunningHub) -> pb.ListInstancesResponse:
    """A hub that does not answer (yet) has not agreed."""
    try:
        return await hub.stub.ListInstances(pb.ListInstancesRequest(), timeout=3)
    except grpc.aio.AioRpcError as error:
        raise AssertionError(f"{hub.address}: {error.code().name}: {error.details()}") from None


@asynccontextmanager
async def run_mesh(
    nats_urls: tuple[str, ...],
    backends: int = 3,
    clients: int = 2,
    clock_off_s: float = 0.0,
    options: tuple[str, ...] = (),
) -> AsyncIterator[Mesh]:
    """A hub for each of `nats_urls`, `backends` that registered with them, `clients` that call without a pause.

    The clock of the first hub is wrong by `clock_off_s`.
    """
    async with AsyncExitStack() as stack:
        processes = tuple(
            HubProcess(f"hub-{at}", free_port(), url, options=options) for at, url in enumerate(nats_urls, 1)
        )
        processes[0].clock_off_s = clock_off_s
        for hub in processes:
            stack.push_async_callback(hub.kill)
            await hub.start()
        for hub in processes:
            await stack.enter_async_context(connected(hub.address))
        addresses = tuple(hub.address for hub in processes)
        made = []
        for at in range(backends):
            backend = await stack.enter_async_context(run_backend(f"echo-{at + 1}"))
            await stack.enter_async_context(holding(addresses, instance(backend.name, port=backend.port)))
            made.append(backend)
        callers = [await stack.enter_async_context(run_client(",".join(addresses), ("echo",))) for _ in range(clients)]
        mesh = Mesh(processes, tuple(made), tuple(callers), stack)
        await mesh.converged()
        for caller in callers:
            await eventually(lambda caller=caller: _answers(caller))  # type: ignore[misc]
            await caller.ask("load", WHO, 4)
        yield mesh


@asynccontextmanager
async def holding(addresses: tuple[str, ...], made: pb.Instance) -> AsyncIterator[None]:
    """A session for `made` with one of the hubs, as every program of ours has it."""
    async with open_session(MeshSettings(instance=made.id, hubs=addresses), made) as session:
        await session.set_status(made.status)
        yield


async def _answers(client: PlainClient) -> bool:
    return bool((await client.call())["ok"])
