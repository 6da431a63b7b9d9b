"""How a command reaches the mesh: over gRPC like anyone else, from what the state folder says of the hub."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, TypeVar

import grpc
import typer

from cli.output import EXIT_UNREACHABLE, calls_explained, fail
from mesh.channel import direct_channel, mesh_channel
from mesh.config import MeshSettings

T = TypeVar("T")

DEFAULT_STATE = Path(".suho")
# A command waits this long for an answer.
TIMEOUT_S = 10.0

StateOption = Annotated[Path, typer.Option("--state", help="State folder of the platform to ask.")]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]


class NoPlatformError(Exception):
    """Nothing tells where the hub of a state folder is."""


def find_mesh(state: Path) -> dict[str, Any]:
    """What `suho up` wrote of the platform that owns `state`.

    Raises:
        NoPlatformError: nothing, or nothing that can be read.
    """
    try:
        facts: dict[str, Any] = json.loads((state / "mesh.json").read_text("utf-8"))
        named = bool(facts["hubs"])
    except OSError:
        raise NoPlatformError(f"no platform has run on {state}: start one with `suho up --state {state}`") from None
    except (ValueError, TypeError, KeyError):
        named = False
    if not named:
        raise NoPlatformError(f"{state / 'mesh.json'} names no hub; `suho up --state {state}` writes it anew")
    return facts


def read_mesh(state: Path) -> dict[str, Any]:
    """The same for a command that ends with the sentence."""
    try:
        return find_mesh(state)
    except NoPlatformError as error:
        fail(str(error), EXIT_UNREACHABLE)


def _settings(state: Path) -> MeshSettings:
    return MeshSettings(instance="suho-cli", hubs=tuple(read_mesh(state)["hubs"]))


@asynccontextmanager
async def mesh(state: Path) -> AsyncIterator[grpc.aio.Channel]:
    """The channel to every service."""
    async with mesh_channel(_settings(state), "suho-cli") as channel:
        yield channel


@asynccontextmanager
async def hub(state: Path) -> AsyncIterator[grpc.aio.Channel]:
    """The channel to the hub itself."""
    async with direct_channel(_settings(state).hubs) as channel:
        yield channel


def run(command: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a command's coroutine; a failed call or Ctrl-C ends it with a sentence or in silence."""
    with calls_explained():
        try:
            return asyncio.run(command())
        except KeyboardInterrupt:
            raise typer.Exit(130) from None
