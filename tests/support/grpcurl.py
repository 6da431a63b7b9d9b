"""grpcurl on one server: all that it knows it has from reflection."""

import asyncio
import json
from pathlib import Path
from typing import Any, NamedTuple


class Told(NamedTuple):
    status: int
    out: str
    err: str

    @property
    def messages(self) -> list[Any]:
        """The JSON objects that it printed."""
        found, rest = [], self.out.strip()
        while rest:
            value, end = json.JSONDecoder().raw_decode(rest)
            found.append(value)
            rest = rest[end:].lstrip()
        return found


async def grpcurl(binary: Path, address: str, *words: str, data: str | None = None) -> Told:
    """`grpcurl -plaintext [-d DATA] ADDRESS WORDS…`."""
    given = ("-d", data) if data is not None else ()
    process = await asyncio.create_subprocess_exec(
        *(str(binary), "-plaintext", "-max-time", "20", *given, address, *words),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(30):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode is not None
    return Told(process.returncode, out.decode(), err.decode())
