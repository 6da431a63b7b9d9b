"""A person's write, tried anew on what other hubs wrote meanwhile."""

import asyncio
from collections.abc import Awaitable, Callable
from itertools import islice
from typing import TypeVar

from hub.domain.state import ConflictError
from mesh.waiting import backoff

T = TypeVar("T")

# Another hub's write comes in within moments.
_FIRST_PAUSE_S = 0.02
_TRIES = 5


async def rewritten(attempt: Callable[[], Awaitable[T]]) -> T:
    """What `attempt` gives, once no other hub's write comes between its look and its own.

    Raises:
        ConflictError: others kept writing.
    """
    pauses = islice(backoff(_FIRST_PAUSE_S), _TRIES)
    while True:
        try:
            return await attempt()
        except ConflictError:
            if (pause := next(pauses, None)) is None:
                raise
            await asyncio.sleep(pause)
