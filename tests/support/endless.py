"""Loops that end only when they are cancelled, and a client that makes it hard for them."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any


class Answer:
    """As of a client whose `asyncio.wait_for` swallows a cancellation that meets the answer."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    async def __call__(self, *_: object, **__: object) -> None:
        if self.asked.is_set():
            await asyncio.sleep(0)
        else:
            self.asked.set()
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()


async def ends(running: Coroutine[Any, Any, object], answer: Answer) -> bool:
    """Whether `running`, cancelled in the moment of the answer, ends."""
    task = asyncio.create_task(running)
    await answer.asked.wait()
    task.cancel()
    await asyncio.wait([task], timeout=10)
    ended = task.done()
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    return ended
