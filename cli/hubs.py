"""Questions that every hub answers for itself."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import grpc

from cli.connection import read_mesh
from cli.output import EXIT_UNREACHABLE, fail
from mesh.channel import direct_channel
from mesh.errors import MeshError

T = TypeVar("T")


@dataclass(frozen=True)
class HubAnswer(Generic[T]):
    """What one hub said; without an answer, why there is none."""

    address: str
    answer: T | None
    because: str = ""


async def ask_hubs(addresses: Iterable[str], ask: Callable[[grpc.aio.Channel], Awaitable[T]]) -> list[HubAnswer[T]]:
    """Ask all at once; one that does not answer is told with the others."""

    async def one(address: str) -> HubAnswer[T]:
        async with direct_channel([address]) as channel:
            try:
                return HubAnswer(address, await ask(channel))
            except grpc.aio.AioRpcError as error:
                return HubAnswer(address, None, MeshError.of(error).message)

    async with asyncio.TaskGroup() as tasks:
        asking = [tasks.create_task(one(address)) for address in addresses]
    return [task.result() for task in asking]


async def ask_every_hub(state: Path, ask: Callable[[grpc.aio.Channel], Awaitable[T]]) -> list[HubAnswer[T]]:
    """Ask all hubs of the platform at once; that none answers ends the command."""
    answers = await ask_hubs(read_mesh(state)["hubs"], ask)
    if all(answer.answer is None for answer in answers):
        fail(
            f"no hub answers ({answers[0].because}): is the platform running? `suho up` starts it",
            EXIT_UNREACHABLE,
        )
    return answers
