"""Kafka's ApiVersions, version 0: the one request that every broker answers before it knows who asks."""

import struct

from hub.health.probes.check import ProbeError, Target
from hub.health.probes.connection import MOST_BYTES, connected, quoted

_CORRELATION = 0x5348
_CLIENT = b"suho-hub"
_API_VERSIONS = 18
_BODY = struct.pack(f"!hhih{len(_CLIENT)}s", _API_VERSIONS, 0, _CORRELATION, len(_CLIENT), _CLIENT)
_REQUEST = struct.pack("!i", len(_BODY)) + _BODY
_HEAD = struct.Struct("!ih")
"""Of the answer: the request's number, and the error."""


async def check(target: Target) -> str:
    async with connected(target) as (reader, writer):
        writer.write(_REQUEST)
        size = await reader.readexactly(4)
        length = int.from_bytes(size, "big", signed=True)
        if not _HEAD.size <= length <= MOST_BYTES:
            raise ProbeError(f"it does not speak Kafka's protocol: its answer began with {quoted(size)}")
        answer = await reader.readexactly(length)
    correlation, error = _HEAD.unpack_from(answer)
    if correlation != _CORRELATION:
        raise ProbeError("it does not speak Kafka's protocol: it answered another request than ours")
    if error:
        raise ProbeError(f"it answered ApiVersions with Kafka's error {error}")
    return ""
