"""A storm in a process of its own: it may have a network of its own, where ports can be cut off."""

import asyncio
import json
import shutil
import signal
import subprocess
from typing import Any

from mesh.environment import child_environment

NAMESPACE = ("unshare", "--map-root-user", "--net")


def end_in_order() -> None:
    """In the storm: SIGTERM ends it as Ctrl-C does, and what it started with it."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def own_network() -> bool:
    """Whether this machine gives out network namespaces, and has `ip` to rule in them."""
    if not all(map(shutil.which, ("unshare", "ip"))):
        return False
    return subprocess.run([*NAMESPACE, "ip", "rule"], capture_output=True).returncode == 0


async def outcome(command: list[str], *, aloud: bool = False) -> tuple[dict[str, Any], str]:
    """What the storm came to, and what it said on the way; `aloud`: that stands on standard error already."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=None if aloud else asyncio.subprocess.PIPE,
        env=child_environment({}),
    )
    try:
        out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
    said = (err or b"").decode()[-6000:]
    lines = out.decode().splitlines()
    assert lines, f"the storm came to no account:\n{said}"
    account: dict[str, Any] = json.loads(lines[-1])
    return account, said
