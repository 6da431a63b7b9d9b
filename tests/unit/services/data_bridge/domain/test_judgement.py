"""What is wrong with a batch."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from mesh.market import TickId
from services.data_bridge.domain.judgement import flaw, malformation
from tests.unit.services.data_bridge.ticks import START_MSC, history

MONTH_END = 1_775_001_600_000  # 2026-04-01


def at(index: int, value: float, count: int = 5) -> Any:
    """`value` among ones."""
    return np.where(np.arange(count) == index, value, 1.0)


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({}, ""),
        ({"bid": at(2, np.nan)}, "NON_FINITE_PRICE"),
        ({"ask": at(4, np.inf)}, "NON_FINITE_PRICE"),
        ({"last": at(0, -np.inf)}, "NON_FINITE_PRICE"),
        ({"last": at(1, -0.5)}, "NEGATIVE_PRICE"),
        ({"volume_real": at(1, -1)}, "INVALID_VOLUME"),
        ({"volume_real": at(1, np.nan)}, "INVALID_VOLUME"),
        ({"bid": np.full(5, 9.0)}, ""),
        ({"bid": np.full(5, 1e308)}, ""),
        ({"bid": np.zeros(5), "ask": np.zeros(5)}, ""),
        ({"time_msc": START_MSC + np.array([0, 1, 3, 2, 4])}, "TIME_NOT_ASCENDING"),
        ({"ordinal": np.zeros(5, np.uint32)}, "TIME_NOT_ASCENDING"),
    ],
)
def test_bad_values_have_a_reason(columns: dict[str, Any], reason: str) -> None:
    """Non-finite and negative values and falling time are flaws; crossed and zero quotes are not."""
    assert flaw(history(5, **columns)) == reason


@pytest.mark.parametrize(
    ("value", "reason"),
    [(1.0, ""), (1e308, ""), (np.nan, "NON_FINITE_PRICE"), (np.inf, "NON_FINITE_PRICE"), (-1.0, "NEGATIVE_PRICE")],
)
@pytest.mark.parametrize("count", [1, 2, 16, 17, 100])
def test_few_and_many_are_judged_alike(count: int, value: float, reason: str) -> None:
    """However long a batch is, and wherever in it the bad value stands; huge prices are prices."""
    for index in {0, count // 2, count - 1}:
        assert flaw(history(count, bid=at(index, value, count), ask=np.full(count, 1e308))) == reason
    fallen = history(count + 1, time_msc=np.r_[np.arange(count) + 1, 0] + START_MSC)
    assert flaw(fallen) == "TIME_NOT_ASCENDING"


@pytest.mark.parametrize("count", [1, 5])
def test_the_first_tick_comes_after_prev(count: int) -> None:
    """A batch that begins at or before its own `prev` goes back in time."""
    assert flaw(history(count, prev=TickId(START_MSC, 0))) == "TIME_NOT_ASCENDING"
    assert flaw(history(count, prev=TickId(START_MSC - 1, 7))) == ""


@pytest.mark.parametrize(
    ("batch", "sentence"),
    [
        (history(5), ""),
        (replace(history(5), server=""), "server is not set"),
        (replace(history(5), symbol=""), "symbol is not set"),
        (replace(history(5), agent=""), "agent is not set"),
        (history(5, prev=TickId(-1, 0)), "prev.time_msc is negative"),
        (history(1, time_msc=np.zeros(1, np.int64)), "time_msc must be"),
        (history(5, start_msc=START_MSC * 1000), "before 2100"),
        (history(6, start_msc=MONTH_END - 1), "two UTC months"),
        (history(6, start_msc=MONTH_END - 86_400_000), ""),
        (history(2, time_msc=np.array([MONTH_END, MONTH_END - 1])), "two UTC months"),
    ],
)
def test_broken_structure_is_said_in_words(batch: Any, sentence: str) -> None:
    """Each rule of the contract has its sentence."""
    said = malformation(batch)
    assert sentence in said
    assert bool(said) == bool(sentence)
