"""ClickHouse's own `/ping`, which needs no user."""

from asyncio import IncompleteReadError

from hub.health.probes.check import ProbeError, Target
from hub.health.probes.http import answered


async def check(target: Target) -> str:
    async with answered(target, "/ping") as (status, rest):
        if status != 200:
            raise ProbeError(f"it answered /ping with HTTP status {status}")
        try:
            await rest.readuntil(b"Ok.")
        except IncompleteReadError:
            raise ProbeError("it answers /ping, but not as ClickHouse does") from None
    return ""
