"""Tick files of many millions, made column by column."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from bench.source import write_parquet
from tests.support.replay_file import ReplayFile

_DAY_MS = 86_400_000


def generate_many(folder: Path, symbol: str, ticks: int, seed: int, day: str = "2020-01-31") -> ReplayFile:
    """A file like `replay_file.generate`'s: bursts in a millisecond, dense seconds, a month's end in its middle."""
    chance = np.random.default_rng(seed)
    steps = chance.choice(np.array([0, 0, 0, 1, 5, 40, 300]), ticks)
    elapsed = np.cumsum(steps)
    start = int(np.datetime64(day, "ms").astype(np.int64)) + _DAY_MS - int(elapsed[ticks // 2])
    time_msc = start + elapsed
    mid = 110_000 + np.cumsum(chance.integers(-2, 3, ticks))
    ask = mid + chance.choice(np.array([0, 3, 8]), ticks)
    path = folder / f"{symbol.lower()}_ticks.parquet"
    write_parquet(path, time_msc, mid / 1e5, ask / 1e5)
    return ReplayFile(symbol, path, ticks, 5, int(mid.sum()), int(ask.sum()))


def span_ms(path: Path) -> int:
    """Milliseconds from the first tick to the last of such a file."""
    time_msc = pq.read_table(path, columns=["time_msc"])["time_msc"]
    return int(time_msc[-1].as_py()) - int(time_msc[0].as_py())
