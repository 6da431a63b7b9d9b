"""Waiting for what will be, instead of sleeping."""

import asyncio
import inspect
import socket
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


async def eventually(condition: Callable[[], T | Awaitable[T]], timeout_s: float = 10.0, interval_s: float = 0.02) -> T:
    """Ask until the answer is true; an AssertionError of the last try, or a plain one, when time runs out."""
    deadline = time.monotonic() + timeout_s
    failure: AssertionError | None = None
    while True:
        try:
            answer = condition()
            value: T = await answer if inspect.isawaitable(answer) else answer  # type: ignore[assignment]
            if value:
                return value
            failure = None
        except AssertionError as error:
            failure = error
        if time.monotonic() > deadline:
            raise failure or AssertionError(f"not true within {timeout_s} s: {inspect.getsource(condition).strip()}")
        await asyncio.sleep(interval_s)


def free_port() -> int:
    """A port on loopback that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
