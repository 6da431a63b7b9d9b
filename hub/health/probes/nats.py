"""NATS, which introduces itself to whoever connects."""

import json

from hub.health.probes.check import ProbeError, Target
from hub.health.probes.connection import connected, quoted

_INFO = b"INFO "


async def check(target: Target) -> str:
    async with connected(target) as (reader, _):
        banner = await reader.readuntil(b"\r\n")
    if not banner.startswith(_INFO):
        raise ProbeError(f"it is no NATS: it said {quoted(banner)}")
    try:
        info = json.loads(banner.removeprefix(_INFO))
    except (ValueError, RecursionError):
        info = None
    if not isinstance(info, dict) or "server_id" not in info:
        raise ProbeError(f"it is no NATS: it said {quoted(banner)}")
    if info.get("ldm"):
        raise ProbeError("it is shutting down: it sends its clients away (lame duck mode)")
    return ""
