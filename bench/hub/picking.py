"""From an instance's going to the last call that a stock gRPC client gave it."""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from time import perf_counter_ns
from typing import Any

from bench.hub import stock_client, stock_server
from bench.hub.h2 import connections
from bench.hub.servers import Server
from bench.hub.sessions import Session, instance
from bench.hub.spread import Spread, spread
from bench.race import NoShowError
from mesh.channel import bootstrap
from mesh.environment import child_environment

_CHANNELS_EACH = 20
# All clients together; more would be a test of the machine.
CALLS_PER_S = 500
_SERVICE = "echo"
_LONGEST_LINE = 16 << 20
_PATIENCE_S = 30.0
_LOOK_S = 0.1
# In which a client that was not told would call it again.
_WATCHED_S = 0.3


class StockClients:
    """Processes of stock clients, all calling one method."""

    def __init__(self, processes: list[Process], channels: int) -> None:
        self._processes = processes
        self.pause_s = channels / CALLS_PER_S
        self.channels = channels

    async def calls(self) -> list[tuple[int, int, int, str]]:
        """Since the last time: process, channel, when it began, who answered.

        Raises:
            NoShowError: a call failed; none may, for nobody stops serving.
        """
        found = []
        for number, process in enumerate(self._processes):
            said = await _ask(process)
            if errors := said["errors"]:
                raise NoShowError(f"{len(errors)} calls of stock clients failed, the first: {errors[0]}")
            found += [(number, channel, began, reply) for channel, began, reply in said["calls"]]
        return found


async def measure(server: Server, clients: int, times: int) -> Spread:
    """Until the last call by any of so many clients, over the times.

    Raises:
        NoShowError: a call failed, or not all clients called the instance.
    """
    took: list[int] = []
    name = instance("stays", _SERVICE).grpc_services[0]
    async with _backends(name) as (stays, goes), connections(server.port, 1) as (own,):
        await Session(own, instance("stays", _SERVICE, stays)).register()
        async with _stock_clients(server, f"/{name}/{stock_server.METHOD}", clients) as callers:
            for turn in range(times + 1):
                session = Session(own, instance(f"goes-{turn}", _SERVICE, goes))
                await session.register()
                await _until_all_call(callers, str(goes))
                began = perf_counter_ns()
                session.leave()
                await asyncio.sleep(max(4 * callers.pause_s, _WATCHED_S))
                picks = [at for _, _, at, reply in await callers.calls() if reply == str(goes)]
                if turn:  # the first finds everything cold
                    took.append(max([began, *picks]) - began)
    return spread(took)


async def _until_all_call(callers: StockClients, name: str) -> None:
    missing = callers.channels
    calling: set[tuple[int, int]] = set()
    try:
        async with asyncio.timeout(_PATIENCE_S):
            while missing:
                await asyncio.sleep(_LOOK_S)
                calling |= {call[:2] for call in await callers.calls() if call[3] == name}
                missing = callers.channels - len(calling)
    except TimeoutError:
        raise NoShowError(f"{missing} of {callers.channels} stock clients did not call the instance") from None


@asynccontextmanager
async def _backends(name: str) -> AsyncIterator[tuple[int, int]]:
    async with _script(stock_server, name) as process:
        assert process.stdout is not None
        stays, goes = [int(await process.stdout.readline()) for _ in range(2)]
        yield stays, goes


@asynccontextmanager
async def _stock_clients(server: Server, method: str, channels: int) -> AsyncIterator[StockClients]:
    clients = StockClients([], channels)
    async with AsyncExitStack() as stack:
        for first in range(0, channels, _CHANNELS_EACH):
            node = bootstrap([f"127.0.0.1:{server.port}"], f"bench-{first}", "bench")
            words = (method, str(min(_CHANNELS_EACH, channels - first)), str(clients.pause_s))
            process = _script(stock_client, *words, GRPC_XDS_BOOTSTRAP_CONFIG=json.dumps(node))
            clients._processes.append(await stack.enter_async_context(process))
        yield clients


@asynccontextmanager
async def _script(module: Any, *words: str, **environment: str) -> AsyncIterator[Process]:
    """A process without this project's code; it ends with the block, or when its standard input does."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", str(Path(module.__file__)), *words),
        stdin=PIPE,
        stdout=PIPE,
        env=child_environment(environment),
        limit=_LONGEST_LINE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _ask(process: Process) -> Any:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"\n")
    line = await process.stdout.readline()
    if not line:
        raise NoShowError("a stock client's process ended")
    return json.loads(line)
