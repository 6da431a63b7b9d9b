"""How a command reaches the agent on this PC: by what it wrote into its state folder, with or without a mesh."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import grpc
import typer
from suho.agent.v1 import agent_pb2, agent_pb2_grpc
from suho.common.v1 import account_pb2

from cli.connection import DEFAULT_STATE
from cli.output import EXIT_UNREACHABLE, calls_explained, fail
from mesh.channel import direct_channel
from mesh.errors import MeshError, Reason
from pc_agent.control.endpoint import Endpoint, NoAgentError, find
from pc_agent.paths import state_folder

T = TypeVar("T")

TIMEOUT_S = 45.0
# A removal and a close behind it may be sent for half a minute each; then the broker answers.
CLOSING_TIMEOUT_S = 90.0

AgentStateOption = Annotated[
    Path,
    typer.Option("--agent-state", help="State folder of the agent."),
]
# That of `suho up` where one was run here.
DEFAULT_AGENT_STATE = DEFAULT_STATE / "agent" if (DEFAULT_STATE / "agent").is_dir() else state_folder()
AccountOption = Annotated[
    str, typer.Option("--account", help="LOGIN, or LOGIN@SERVER where a login is on several servers; none: all.")
]


class AgentCalls:
    """The agent's service, called with its token."""

    def __init__(self, channel: grpc.aio.Channel, token: str) -> None:
        self.channel = channel
        self.stub: agent_pb2_grpc.AgentServiceAsyncStub = agent_pb2_grpc.AgentServiceStub(channel)
        self._metadata = (("authorization", f"Bearer {token}"),)

    async def __call__(self, method: Any, request: Any, timeout_s: float = TIMEOUT_S) -> Any:
        return await method(request, timeout=timeout_s, metadata=self._metadata)

    async def watch(self) -> AsyncIterator[agent_pb2.WatchStatusResponse]:
        """The status, again whenever it changed."""
        call: Any = self.stub.WatchStatus(agent_pb2.WatchStatusRequest(), metadata=self._metadata)
        async for answer in call:
            yield answer

    async def account(self, name: str) -> account_pb2.AccountRef | None:
        """What a person calls LOGIN or LOGIN@SERVER; None where nothing is said."""
        if not name:
            return None
        login, _, server = name.partition("@")
        if not login.isdecimal():
            fail(f"--account {name!r}: the login is a number", 2)
        status = (await self(self.stub.GetStatus, agent_pb2.GetStatusRequest())).status
        known = {(one.account.login, one.account.server) for one in status.terminals if one.account.server}
        found = [one for one in known if one[0] == int(login) and server in ("", one[1])]
        if len(found) != 1:
            names = ", ".join(sorted(f"{one[0]}@{one[1]}" for one in known)) or "none yet"
            fail(f"--account {name} {'is on several servers' if found else 'is not here'}; accounts: {names}")
        return account_pb2.AccountRef(server=found[0][1], login=found[0][0])


def run_agent(folder: Path, command: Callable[[AgentCalls], Awaitable[T]]) -> T:
    """Run `command` against the agent of `folder`; what goes wrong ends it with a sentence."""
    try:
        endpoint = find(folder)
    except NoAgentError as error:
        fail(str(error), EXIT_UNREACHABLE)
    with calls_explained():
        try:
            return asyncio.run(_called(endpoint, folder, command))
        except KeyboardInterrupt:
            raise typer.Exit(130) from None


async def _called(endpoint: Endpoint, folder: Path, command: Callable[[AgentCalls], Awaitable[T]]) -> T:
    async with direct_channel([endpoint.address]) as channel:
        try:
            return await command(AgentCalls(channel, endpoint.token))
        except grpc.aio.AioRpcError as error:
            reason = MeshError.of(error).reason
            if reason is Reason.DEADLINE_EXCEEDED:
                fail("the agent has not answered in time; it goes on: `suho agent positions` tells", EXIT_UNREACHABLE)
            if reason is not Reason.UNREACHABLE:
                raise
            fail(f"no agent answers at {endpoint.address}, where the one of {folder} was: start it", EXIT_UNREACHABLE)
