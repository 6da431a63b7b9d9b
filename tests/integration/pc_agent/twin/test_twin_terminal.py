"""A twin that a script starts for itself, as the documentation shows it."""

from pathlib import Path

import pytest

from pc_agent.twin import client as mt5
from pc_agent.twin.control import TwinUnreachableError, fault_counts, feed_status
from pc_agent.twin.process import TwinFailedError, twin_terminal
from tests.support.replay_file import generate

pytestmark = pytest.mark.integration


def test_a_script_has_a_terminal_of_its_own(tmp_path: Path) -> None:
    """It serves inside the block, with the settings and the faults that it was given; afterwards it is gone."""
    file = generate(tmp_path, "EURUSD", 200, seed=5)
    terms = {"*": {"trade_stops_level": 7}}
    with twin_terminal(feeds=[file.feed], speed="max", faults=["requote=1"], latency_ms=0.5, terms=terms) as path:
        assert mt5.initialize(str(path)), mt5.last_error()
        assert mt5.symbol_info("EURUSD").trade_stops_level == 7
        assert mt5.Buy("EURUSD", 0.1).retcode == mt5.TRADE_RETCODE_REQUOTE
        assert fault_counts(path) == {"requote": 10}
        mt5.shutdown()
    with pytest.raises(TwinUnreachableError):
        feed_status(path)


def test_a_twin_that_can_not_start_says_why(tmp_path: Path) -> None:
    """In the error, with the setting's name."""
    wrong = pytest.raises(TwinFailedError, match=r"'faults' .*there is no fault 'rain'; known are requote")
    with wrong, twin_terminal(tmp_path / "twin", faults=["rain=0.1"]):
        pass
