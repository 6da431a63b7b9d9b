"""Redis, and whatever speaks its protocol (Valkey, DragonflyDB)."""

from hub.health.probes.check import ProbeError, Target
from hub.health.probes.connection import connected, quoted

_ALIVE = (b"+PONG", b"-NOAUTH", b"-NOPERM")
_LOADING = b"-LOADING"


async def check(target: Target) -> str:
    async with connected(target) as (reader, writer):
        writer.write(b"*1\r\n$4\r\nPING\r\n")
        answer = await reader.readuntil(b"\r\n")
    if answer.startswith(_LOADING):
        raise ProbeError("it is starting up: it loads its data")
    if not answer.startswith(_ALIVE):
        raise ProbeError(f"it answered PING with {quoted(answer)}")
    return ""
