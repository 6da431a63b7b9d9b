"""Whether an HTTP server answers well; who asks for a password is alive, too."""

import re
from asyncio import StreamReader
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import quote

from hub.health.probes.check import ProbeError, Target
from hub.health.probes.connection import connected, quoted

_STATUS_LINE = re.compile(rb"HTTP/1\.[01] (\d{3})(?: [^\r\n]*)?\r?\n")
_UNAUTHORISED = 401
_WORST_HEALTHY = 399


async def check(target: Target) -> str:
    path = target.path or "/"
    async with answered(target, path) as (status, _):
        if status > _WORST_HEALTHY and status != _UNAUTHORISED:
            raise ProbeError(f"it answered GET {path} with HTTP status {status}")
    return "it asks for a password" if status == _UNAUTHORISED else ""


@asynccontextmanager
async def answered(target: Target, path: str) -> AsyncIterator[tuple[int, StreamReader]]:
    """The status of a GET, and what follows it.

    Raises:
        ProbeError: it does not speak HTTP.
        OSError, EOFError: it can not be reached, or hung up.
    """
    safe = quote(path, safe="/?&=%+,;:@!$'()*~")  # a line break in it would be a request of its own
    async with connected(target) as (reader, writer):
        lines = (f"GET {safe} HTTP/1.1", f"Host: {target}", "User-Agent: suho-hub", "Connection: close", "", "")
        writer.write("\r\n".join(lines).encode())
        first = await reader.readuntil(b"\n")
        matched = _STATUS_LINE.fullmatch(first)
        if matched is None:
            raise ProbeError(f"it does not speak HTTP: it answered {quoted(first)}")
        yield int(matched[1]), reader
