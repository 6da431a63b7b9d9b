"""A TCP connection for one question, closed whatever happens; answers are read within bounds."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from hub.health.probes.check import ProbeError, Target

MOST_BYTES = 64 * 1024
"""No answer that a probe reads is longer."""


@asynccontextmanager
async def connected(target: Target) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Streams to the target.

    Raises:
        OSError: it can not be reached, or hung up.
        ProbeError: its answer has no end.
    """
    reader, writer = await asyncio.open_connection(target.ip, target.port, limit=MOST_BYTES)
    try:
        yield reader, writer
    except asyncio.LimitOverrunError:
        raise ProbeError("its answer has no end") from None
    finally:
        writer.transport.abort()  # nothing more is to be said: nobody waits for a slow one to take it


def quoted(answer: bytes) -> str:
    """The beginning of an unexpected answer, for a sentence."""
    return repr(answer[:60].decode("ascii", "replace").strip())
