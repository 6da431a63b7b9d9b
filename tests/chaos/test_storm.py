"""Anything dies, stops or is cut off, at random, while ticks flow: none is lost, none is doubled, no value changes."""

import json
import sys

import pytest

from tests.chaos.storm_process import NAMESPACE, outcome, own_network

# The storm bounds itself.
pytestmark = [pytest.mark.chaos, pytest.mark.timeout(0)]

# Ticks a minute: ten million in ten minutes.
_RATE = 1_020_000
_SHORT_MINUTES = 0.5


async def test_nothing_is_lost_in_a_storm(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> None:
    """Kills, pauses and partitions in any order: stored is what was sent, to the last digit; no gap is unexplained."""
    minutes = request.config.getoption("--chaos-minutes") or _SHORT_MINUTES
    seed = request.config.getoption("--chaos-seed")
    partitions = own_network()
    with capsys.disabled():
        left_out = "" if partitions else ", without partitions: this machine gives out no network namespace"
        sys.stderr.write(f"\nstorm of {minutes:g} minutes, seed {seed}{left_out}\n")
    command = [*(NAMESPACE if partitions else ()), sys.executable, "-P", "-m", "tests.chaos.storm"]
    command += ["--minutes", str(minutes), "--seed", str(seed), "--ticks", str(int(_RATE * minutes))]
    account, messages = await outcome([*command, *(["--partitions"] if partitions else [])])
    assert account["wrong"] == [], f"{messages}\n{json.dumps(account, indent=1)}"
    assert sum(fault["hit"] for fault in account["faults"]) >= minutes * 6, messages
