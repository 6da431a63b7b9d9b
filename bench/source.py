"""The ticks that everybody gets."""

import gzip
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mesh.market import BEFORE_FIRST, Batch
from mesh.market.batch import ordinals

SERVER = "bench"
_SYMBOLS = ("EURUSD", "NZDUSD", "XAUUSD")
_START_MSC = 1_577_836_800_000  # 2020-01-01, so that millions of ticks lie within one month
_DAY_MS = 86_400_000


@dataclass(frozen=True)
class Source:
    """Ticks by symbol, ascending, each symbol's within one UTC month."""

    symbols: tuple[Batch, ...]
    origin: str

    @property
    def ticks(self) -> int:
        return sum(map(len, self.symbols))

    def batches(self, size: int, most: int | None = None) -> list[Batch]:
        """Pieces of at most `size` ticks, the symbols in turn, about `most` ticks in all."""
        share = None if most is None else most // len(self.symbols)
        lanes = [
            [whole.slice(at, min(at + size, len(whole))) for at in range(0, len(whole), size)]
            for whole in (one if share is None else one.slice(0, min(share, len(one))) for one in self.symbols)
        ]
        return [lane[turn] for turn in range(max(map(len, lanes))) for lane in lanes if turn < len(lane)]


def generated(ticks: int, symbols: tuple[str, ...] = _SYMBOLS, seed: int = 1) -> Source:
    """A random walk a symbol, with bursts in a millisecond; `ticks` in all, at 20 a second."""
    chance = np.random.default_rng(seed)
    each = ticks // len(symbols)
    return Source(tuple(_walk(chance, name, each) for name in symbols), f"{ticks:,} generated ticks")


def real(folder: Path) -> Source:
    """The three recorded symbols of `folder` (lean_oanda_*_ticks_*.csv.gz).

    Raises:
        FileNotFoundError: one is not there.
    """
    symbols = []
    for name in _SYMBOLS:
        found = sorted(folder.glob(f"lean_oanda_{name.lower()}_ticks_*.csv.gz"))
        if not found:
            raise FileNotFoundError(f"{folder} holds no lean_oanda_{name.lower()}_ticks_*.csv.gz")
        with gzip.open(found[0], "rt") as stream:
            rows = np.loadtxt(stream, delimiter=",", skiprows=1, dtype="datetime64[D],f8,f8,f8")
        day = rows["f0"].astype(np.int64)
        symbols.append(_batch(name, day * _DAY_MS + rows["f1"].astype(np.int64), rows["f2"], rows["f3"]))
    source = Source(tuple(symbols), "")
    return Source(source.symbols, f"{source.ticks:,} recorded ticks of {', '.join(_SYMBOLS)}")


def write_parquet(path: Path, time_msc: np.ndarray, bid: np.ndarray, ask: np.ndarray) -> None:
    """A file of ticks that the twin replays: millions are read in a second."""
    import pyarrow as pa
    import pyarrow.parquet

    pa.parquet.write_table(pa.table({"time_msc": time_msc, "bid": bid, "ask": ask}), path)


def _walk(chance: np.random.Generator, symbol: str, ticks: int) -> Batch:
    time_msc = _START_MSC + np.cumsum(chance.choice(np.array([0, 1, 5, 44, 200]), ticks))
    mid = 110_000 + np.cumsum(chance.integers(-2, 3, ticks))
    return _batch(symbol, time_msc, mid / 1e5, (mid + chance.integers(1, 9, ticks)) / 1e5)


def _batch(symbol: str, time_msc: np.ndarray, bid: np.ndarray, ask: np.ndarray) -> Batch:
    bid, ask = np.ascontiguousarray(bid), np.ascontiguousarray(ask)
    none = np.zeros(len(time_msc))
    flags = np.full(len(time_msc), 6, np.uint32)
    return Batch(
        SERVER, symbol, "bench-agent", 1, BEFORE_FIRST, time_msc, ordinals(time_msc),
        bid, ask, none, none, np.zeros(len(time_msc), np.uint64), flags,
    )  # fmt: skip
