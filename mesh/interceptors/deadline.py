"""A call without a deadline gets one; streams may stay open."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from mesh.errors import MeshError, Reason

DEFAULT_DEADLINE_S = 30.0


@asynccontextmanager
async def default_deadline(method: str, context: Any) -> AsyncIterator[None]:
    if context.time_remaining() is not None:
        yield
        return
    try:
        async with asyncio.timeout(DEFAULT_DEADLINE_S):
            yield
    except TimeoutError:
        raise MeshError(
            Reason.DEADLINE_EXCEEDED,
            f"{method} took longer than the {DEFAULT_DEADLINE_S:g} s given to calls without a deadline",
        ) from None
