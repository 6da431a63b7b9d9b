"""PostgreSQL's readiness, as pg_isready learns it: begin to log in, and look at what comes back."""

import struct
from asyncio import StreamReader

from hub.health.probes.check import ProbeError, Target
from hub.health.probes.connection import MOST_BYTES, connected, quoted

_PROTOCOL_3_0 = 196_608
_PARAMETERS = b"user\0suho-probe\0database\0postgres\0application_name\0suho-probe\0\0"
_STARTUP = struct.pack("!ii", 8 + len(_PARAMETERS), _PROTOCOL_3_0) + _PARAMETERS
_TERMINATE = b"X\0\0\0\4"

_AUTHENTICATION, _ERROR = b"R", b"E"
_CANNOT_CONNECT_NOW = "57P03"


async def check(target: Target) -> str:
    async with connected(target) as (reader, writer):
        writer.write(_STARTUP)
        kind = await reader.readexactly(1)
        if kind == _AUTHENTICATION:
            writer.write(_TERMINATE)
            return ""
        if kind != _ERROR:
            raise ProbeError(f"it does not speak PostgreSQL's protocol: its answer began with {quoted(kind)}")
        fields = await _error_fields(reader)
    # Any other refusal comes from a server that is ready, and does not want us.
    if fields["C"] == _CANNOT_CONNECT_NOW:
        raise ProbeError(f"it is not ready: {fields.get('M', 'it does not say why')[:200]}")
    return f"it answers: {fields.get('M', fields['C'])[:200]}"


async def _error_fields(reader: StreamReader) -> dict[str, str]:
    length = int.from_bytes(await reader.readexactly(4), "big")
    if not 4 < length <= MOST_BYTES:
        raise ProbeError("it does not speak PostgreSQL's protocol: its refusal is malformed")
    parts = (await reader.readexactly(length - 4)).decode("utf-8", "replace").split("\0")
    fields = {part[0]: part[1:] for part in parts if part}
    if "C" not in fields:
        raise ProbeError("it does not speak PostgreSQL's protocol: its refusal has no code")
    return fields
