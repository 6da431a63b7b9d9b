"""The synthetic market: a seeded random walk of quotes with the habits of a liquid symbol."""

from dataclasses import dataclass

import numpy as np

from pc_agent.twin.domain.ticks import TICK_DTYPE, Ticks, quotes_to_ticks


@dataclass(frozen=True)
class Habits:
    """How a symbol moves: prices and spread in its own units, `ticks_per_s` on average."""

    start: float
    digits: int
    step_points: float
    spread_points: float
    ticks_per_s: float


HABITS = {
    "EURUSD": Habits(1.08500, 5, 1.5, 8, 8.0),
    "GBPUSD": Habits(1.27000, 5, 2.0, 12, 6.0),
    "USDJPY": Habits(155.000, 3, 2.0, 10, 7.0),
    "XAUUSD": Habits(2650.00, 2, 6.0, 25, 10.0),
}

# One tick in fifty shares its millisecond with the one before it, as bursts do at a real broker.
_SAME_MILLISECOND = 0.02


def walk(habits: Habits, seed: tuple[int, ...], bid: float, from_msc: int, to_msc: int) -> Ticks:
    """Ticks after `from_msc` up to `to_msc`, going on from `bid`; the same arguments give the same ticks."""
    random = np.random.default_rng(seed)
    expected = (to_msc - from_msc) / 1000 * habits.ticks_per_s
    drawn = int(expected + 6 * expected**0.5 + 16)
    gaps = np.ceil(random.exponential(1000 / habits.ticks_per_s, drawn)).astype(np.int64)
    gaps[random.random(drawn) < _SAME_MILLISECOND] = 0
    gaps[0] = max(gaps[0], 1)
    times = from_msc + np.cumsum(gaps)
    count = int(np.searchsorted(times, to_msc, side="right"))
    if count == 0:
        return np.empty(0, TICK_DTYPE)
    scale = 10.0**habits.digits
    steps = np.rint(random.normal(0.0, habits.step_points, count))
    # Pulled gently back to where it began: a market that runs for weeks must not wander to zero.
    pull = (habits.start - bid) * scale * 1e-4
    bids = np.maximum(round(bid * scale) + np.rint(np.cumsum(steps + pull)), 1.0)
    spreads = np.maximum(np.rint(random.gamma(6.0, habits.spread_points / 6.0, count)), 1.0)
    return quotes_to_ticks(times[:count], bids / scale, (bids + spreads) / scale)
