"""Questions that every hub answers for itself."""

from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import TypeVar

import grpc

from cli.answers import Answer, ask_each
from cli.connection import read_mesh
from cli.output import EXIT_UNREACHABLE, fail
from mesh.channel import direct_channel

T = TypeVar("T")


async def ask_hubs(addresses: Iterable[str], ask: Callable[[grpc.aio.Channel], Awaitable[T]]) -> list[Answer[T]]:
    """Ask all at once; one that does not answer is told with the others."""

    async def one(address: str) -> T:
        async with direct_channel([address]) as channel:
            return await ask(channel)

    return await ask_each({address: one(address) for address in addresses})


async def ask_every_hub(state: Path, ask: Callable[[grpc.aio.Channel], Awaitable[T]]) -> list[Answer[T]]:
    """Ask all hubs of the platform at once; that none answers ends the command."""
    answers = await ask_hubs(read_mesh(state)["hubs"], ask)
    if all(answer.answer is None for answer in answers):
        fail(
            f"no hub answers ({answers[0].because}): is the platform running? `suho up` starts it",
            EXIT_UNREACHABLE,
        )
    return answers
