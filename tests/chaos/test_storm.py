"""Anything dies, stops or is cut off, at random, while ticks flow: none is lost, none is doubled, no value changes."""

import asyncio
import json
import shutil
import subprocess
import sys
from typing import Any

import pytest

from mesh.config import child_environment

# The storm bounds itself.
pytestmark = [pytest.mark.chaos, pytest.mark.timeout(0)]

# Ticks a minute: ten million in ten minutes.
_RATE = 1_020_000
_SHORT_MINUTES = 0.35
_NAMESPACE = ("unshare", "--map-root-user", "--net")


def own_network() -> bool:
    """Whether this machine gives out network namespaces, and has `ip` to rule in them."""
    if not all(map(shutil.which, ("unshare", "ip"))):
        return False
    return subprocess.run([*_NAMESPACE, "ip", "rule"], capture_output=True).returncode == 0


async def test_nothing_is_lost_in_a_storm(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> None:
    """Kills, pauses and partitions in any order: stored is what was sent, to the last digit; no gap is unexplained."""
    minutes = request.config.getoption("--chaos-minutes") or _SHORT_MINUTES
    seed = request.config.getoption("--chaos-seed")
    partitions = own_network()
    with capsys.disabled():
        left_out = "" if partitions else ", without partitions: this machine gives out no network namespace"
        sys.stderr.write(f"\nstorm of {minutes:g} minutes, seed {seed}{left_out}\n")
    command = [*(_NAMESPACE if partitions else ()), sys.executable, "-P", "-m", "tests.chaos.storm"]
    command += ["--minutes", str(minutes), "--seed", str(seed), "--ticks", str(int(_RATE * minutes))]
    account, messages = await outcome([*command, *(["--partitions"] if partitions else [])])
    assert account["wrong"] == [], f"{messages}\n{json.dumps(account, indent=1)}"
    assert sum(fault["hit"] for fault in account["faults"]) >= minutes * 6, messages


async def outcome(command: list[str]) -> tuple[dict[str, Any], str]:
    """What the storm came to, and what it said on the way."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=child_environment({}),
    )
    try:
        out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
    lines = out.decode().splitlines()
    assert lines, f"the storm came to no account:\n{err.decode()[-6000:]}"
    account: dict[str, Any] = json.loads(lines[-1])
    return account, err.decode()[-6000:]
