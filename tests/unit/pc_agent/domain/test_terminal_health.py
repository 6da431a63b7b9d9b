"""What a terminal says of itself, in words."""

from dataclasses import replace
from typing import Any

import pytest

from pc_agent.domain.terminal_health import TerminalHealth, findings, unknown_symbols

HEALTHY = TerminalHealth(True, True, False, True, True, False, 20.0, 0.1, 5_000)


def test_a_healthy_terminal_has_no_finding() -> None:
    """Nothing is said where nothing is to do."""
    assert findings(HEALTHY) == ()


@pytest.mark.parametrize(
    ("changes", "reason", "forbids", "what_to_do"),
    [
        ({"trade_allowed": False}, "AUTOTRADING_OFF", True, "press the button"),
        ({"tradeapi_disabled": True}, "TRADE_API_DISABLED", True, "clear the box"),
        ({"account_trade_allowed": False}, "ACCOUNT_MAY_NOT_TRADE", True, "log in with the trading password"),
        ({"account_trade_expert": False}, "EXPERTS_FORBIDDEN", True, "ask the broker"),
        ({"connected": False, "account_trade_allowed": False}, "NO_BROKER", False, "network"),
        ({"ping_ms": 900.0}, "SLOW_BROKER", False, "nearer access point"),
        ({"retransmission_percent": 12.0}, "LOSSY_NETWORK", False, "5 %"),
    ],
)
def test_each_fault_says_what_to_do(changes: dict[str, Any], reason: str, forbids: bool, what_to_do: str) -> None:
    """And whether an order would be taken."""
    (found,) = findings(replace(HEALTHY, **changes))
    assert (found.reason, found.forbids_trading) == (reason, forbids)
    assert what_to_do in found.sentence


@pytest.mark.parametrize(
    ("missed", "carries_others", "said"),
    [
        (["GBPUSX"], True, ["no symbol GBPUSX: correct", "ask the broker", "all others are traded"]),
        (["GBPUSX"], False, ["none of the symbols wanted, no GBPUSX: correct", "nothing is traded"]),
        ([f"S{n}" for n in range(3_000)], True, ["S9 and 2990 more: correct"]),
    ],
)
def test_symbols_that_are_missed_are_named(missed: list[str], carries_others: bool, said: list[str]) -> None:
    """Not all of thousands, with what to do; none is missed: nothing is said."""
    assert unknown_symbols((), carries_others) == ()
    (found,) = unknown_symbols(missed, carries_others)
    assert all(words in found.sentence for words in said)
    assert not found.forbids_trading
