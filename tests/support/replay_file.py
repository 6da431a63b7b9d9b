"""Replay files whose exact content is known: made by a test, or real ones counted independently of Suho."""

import csv
import gzip
import random
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class ReplayFile:
    """A tick file with its exact counts; the sums are of price * 10^digits."""

    symbol: str
    path: Path
    ticks: int
    digits: int
    bid_points_sum: int
    ask_points_sum: int

    @property
    def feed(self) -> str:
        return f"{self.symbol}={self.path}"


def count(symbol: str, path: Path) -> ReplayFile:
    """Count a `date,ms_of_day_utc,bid,ask` file exactly, in decimal arithmetic."""
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", newline="") as stream:
        rows = csv.reader(stream)
        next(rows)
        prices = [(row[2], row[3]) for row in rows]
    digits = max(len(price.partition(".")[2]) for pair in prices for price in pair)
    scale = Decimal(10) ** digits
    sums = [sum(int(Decimal(pair[side]) * scale) for pair in prices) for side in (0, 1)]
    return ReplayFile(symbol, path, len(prices), digits, sums[0], sums[1])


def real(folder: Path, symbol: str) -> ReplayFile:
    """One of the real tick files."""
    return count(symbol, next(folder.glob(f"lean_oanda_{symbol.lower()}_ticks_*.csv.gz")))


def generate(folder: Path, symbol: str, ticks: int, seed: int, day: str = "2020-01-31") -> ReplayFile:
    """A file with what breaks naive pipelines: bursts in a millisecond, dense seconds, a month's end."""
    rng = random.Random(seed)
    path = folder / f"{symbol.lower()}_ticks.csv.gz"
    ms, mid, date = 86_400_000 - ticks * 40, 110_000, day
    with gzip.open(path, "wt", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(("date", "ms_of_day_utc", "bid", "ask"))
        for _ in range(ticks):
            ms += rng.choice((0, 0, 0, 1, 5, 40, 300))
            if ms >= 86_400_000:
                ms, date = ms - 86_400_000, "2020-02-01"
            mid += rng.choice((-2, -1, 0, 1, 2))
            spread = rng.choice((0, 3, 8))
            writer.writerow((date, ms, f"{mid / 1e5:.5f}", f"{(mid + spread) / 1e5:.5f}"))
    return count(symbol, path)


def assert_exact(summary: dict[str, Any], *files: ReplayFile) -> None:
    """A summary of `suho up` says that exactly these files were stored."""
    assert set(summary["symbols"]) == {file.symbol for file in files}
    for file in files:
        facts = summary["symbols"][file.symbol]
        assert {key: facts[key] for key in ("sent", "stored", "distinct", "lost", "quarantined")} == {
            "sent": file.ticks,
            "stored": file.ticks,
            "distinct": file.ticks,
            "lost": 0,
            "quarantined": 0,
        }
        assert (facts["bid_points_sum"], facts["ask_points_sum"]) == (file.bid_points_sum, file.ask_points_sum)
