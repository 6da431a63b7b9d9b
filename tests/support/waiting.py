"""Waiting for what will be, instead of sleeping."""

import asyncio
import inspect
import random
import socket
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TypeVar

from compose.embedded.ports import is_free

T = TypeVar("T")

_PORTS = range(10_000, 20_000)
_marks: deque[socket.socket] = deque()


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
    """A port of loopback that is free, and stays so until its program binds it.

    The system hands it out to nobody, nor does compose.embedded.ports; a mark, its UDP port, keeps it from other
    processes of tests until this one has taken 100 more.
    """
    while True:
        port = random.choice(_PORTS)
        mark = socket.socket(type=socket.SOCK_DGRAM)
        try:
            mark.bind(("127.0.0.1", port))
        except OSError:
            mark.close()
            continue
        _marks.append(mark)
        if len(_marks) > 100:
            _marks.popleft().close()
        if is_free(port):
            return port
