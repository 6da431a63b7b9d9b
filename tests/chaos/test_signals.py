"""Everything on an order's way dies while signals flow: none is executed twice, late, or without being reported."""

import json
import sys

import pytest

from tests.chaos.storm_process import NAMESPACE, outcome, own_network

# The storm bounds itself.
pytestmark = [pytest.mark.chaos, pytest.mark.timeout(0)]

_SHORT, _SHORT_EVERY_S = 400, 1.5
# Signals a minute: a hundred thousand in about ten minutes.
_RATE = 10_000


async def test_no_order_is_doubled_late_or_untold(
    request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    """Crash points one by one, then kills at random: orders are what the terminal's books say; volumes are equal."""
    minutes = request.config.getoption("--chaos-minutes")
    seed = request.config.getoption("--chaos-seed")
    partitions = own_network()
    signals, every_s = (int(_RATE * minutes), 4.0) if minutes else (_SHORT, _SHORT_EVERY_S)
    with capsys.disabled():
        left_out = "" if partitions else ", without partitions: this machine gives out no network namespace"
        sys.stderr.write(f"\nstorm of {signals} signals, seed {seed}{left_out}\n")
    command = [*(NAMESPACE if partitions else ()), sys.executable, "-P", "-m", "tests.chaos.signals"]
    command += ["--signals", str(signals), "--seed", str(seed), "--every-s", str(every_s)]
    account, messages = await outcome([*command, *(["--partitions"] if partitions else [])])
    assert account["wrong"] == [], f"{messages}\n{json.dumps(account, indent=1)}"
    assert all(account["crash_points"].values()), account["crash_points"]
    assert account["states"]["ORDER_STATE_FILLED"] > signals / 20, account["states"]
