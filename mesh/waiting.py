"""Programs start together and wait for what they need, saying so."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

from mesh.log import get_logger

log = get_logger(__name__)
T = TypeVar("T")


def backoff(first_s: float = 0.05, most_s: float = 2.0) -> Iterator[float]:
    """Ever longer pauses, jittered so that many clients do not return at once."""
    pause = first_s
    while True:
        yield pause * random.uniform(0.8, 1.2)
        pause = min(pause * 2, most_s)


async def until_available(what: str, attempt: Callable[[], Awaitable[T]], errors: tuple[type[BaseException], ...]) -> T:
    """Try `attempt` until it raises none of `errors`; says what it waits for, and once that it came."""
    waited = False
    for tries, pause in enumerate(backoff(most_s=0.5)):
        obey_cancellation()
        try:
            value = await attempt()
        except errors as error:
            if tries in (3, 7) or tries % 20 == 19:  # the first second is nobody's concern
                log.info("waiting", what=what, because=str(error)[:300])
                waited = True
            await asyncio.sleep(pause)
        else:
            if waited:
                log.info("available", what=what)
            return value
    raise AssertionError("backoff never ends")


def obey_cancellation() -> None:
    """Raise CancelledError in a task that was cancelled and goes on.

    Before Python 3.12 `asyncio.wait_for`, which nats-py and redis use, swallows a cancellation that meets an answer:
    loops that ask NATS or the cache for ever call this once a turn.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
