"""Whether something listens."""

from hub.probes.check import Target
from hub.probes.connection import connected


async def check(target: Target) -> str:
    async with connected(target):
        return ""
