"""Whether something listens."""

from hub.health.probes.check import Target
from hub.health.probes.connection import connected


async def check(target: Target) -> str:
    async with connected(target):
        return ""
