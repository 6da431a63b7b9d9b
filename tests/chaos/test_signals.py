"""Everything on an order's way dies while signals flow: none is executed twice, late, or without being reported."""

import json
import sys

import pytest

from tests.chaos.storm_process import NAMESPACE, outcome, own_network

# The storm bounds itself.
pytestmark = [pytest.mark.chaos, pytest.mark.timeout(0)]

_SHORT = ("--signals", "60", "--every-s", "2", "--crash-s", "18")
_SHORT_POINTS = 5
# A broker that leaves fewer doubts, so that more signals a minute get through.
_LONG = ("--signals", "100000", "--every-s", "20", "--broker", "0.25")


async def test_no_order_is_doubled_late_or_untold(
    request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    """Crash points one by one, then kills at random: orders are what the terminal's books say; volumes are equal."""
    minutes = request.config.getoption("--chaos-minutes")
    seed = request.config.getoption("--chaos-seed")
    partitions = own_network()
    with capsys.disabled():
        left_out = "" if partitions else ", without partitions: this machine gives out no network namespace"
        sys.stderr.write(f"\nstorm of signals, seed {seed}{left_out}\n")
    size = (*_LONG, "--minutes", str(minutes)) if minutes else _SHORT
    command = [*(NAMESPACE if partitions else ()), sys.executable, "-P", "-m", "tests.chaos.signals", *size]
    command += ["--seed", str(seed), *(["--partitions"] if partitions else [])]
    with capsys.disabled():
        account, messages = await outcome(command, aloud=minutes > 0)
    if minutes:
        with capsys.disabled():
            sys.stderr.write(f"{json.dumps({key: value for key, value in account.items() if key != 'faults'})}\n")
    assert account["wrong"] == [], f"{messages}\n{json.dumps(account, indent=1)}"
    passed = [place for place, was in account["crash_points"].items() if was]
    assert len(passed) == len(account["crash_points"]) if minutes else len(passed) >= _SHORT_POINTS, passed
    assert account["states"].get("ORDER_STATE_FILLED", 0) > 5, f"{messages}\n{json.dumps(account, indent=1)}"
