"""Percentiles of delays."""

import numpy as np
import pytest

from services.database.domain.delays import Delays
from services.database.domain.tick import Latency


def test_percentiles_are_exact_to_two_percent() -> None:
    """Against numpy's own, over delays that differ a million-fold, each counted with its ticks."""
    rng = np.random.default_rng(1)
    delays_ns = np.exp(rng.uniform(np.log(1e4), np.log(1e10), 5000)).astype(np.int64)
    ticks = rng.integers(1, 5, 5000)
    delays = Delays()
    for part in np.array_split(np.arange(5000), 7):
        delays.add(delays_ns[part], ticks[part])
    exact = np.percentile(np.repeat(delays_ns, ticks) / 1e6, (50, 99))
    latency = delays.latency()
    assert (latency.p50_ms, latency.p99_ms) == pytest.approx(tuple(exact), rel=0.02)


def test_nothing_measured_is_zero() -> None:
    """Before the first tick there is no delay."""
    assert Delays().latency() == Latency()


def test_a_clock_that_goes_back_counts_as_no_delay() -> None:
    """A tick read in the future was stored at once."""
    delays = Delays()
    delays.add(np.array([-5, 10**18]), np.array([1, 1]))
    assert delays.latency().p50_ms == pytest.approx(0.001, rel=0.02)
