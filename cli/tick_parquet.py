"""Ticks as parquet, a row group at a time; pyarrow is imported when one is written or read.

Arrays are made from buffers: `pyarrow.array` would import pandas where it is installed, for a second or more.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from cli.output import fail
from mesh.market.batch import COLUMNS
from mesh.market.digest import tick_hashes

Columns = Mapping[str, npt.NDArray[Any]]

# What the store knows of a tick beside its columns.
ANNOTATIONS: Mapping[str, np.dtype[Any]] = {
    "generation": np.dtype("<u4"),
    "utc_msc": np.dtype("<i8"),
    "marks": np.dtype("<u4"),
}
_GROUP_TICKS = 131_072


class TickWriter:
    """A file that is there whole when the block ends well, and not at all otherwise."""

    def __init__(self, path: Path, server: str, symbol: str) -> None:
        self._path = path
        self._half = path.with_name(path.name + ".half")
        self._names = {"server": server, "symbol": symbol}
        self._gathered: list[Columns] = []
        self._gathered_ticks = 0
        self.ticks = 0
        self.hash = 0
        self.last_msc = 0

    def add(self, columns: Columns) -> None:
        """COLUMNS and ANNOTATIONS of ticks that follow those before."""
        count = len(columns["time_msc"])
        self.ticks += count
        self.hash = (self.hash + int(tick_hashes(columns).sum(dtype=np.uint64))) % 2**64
        self.last_msc = int(columns["time_msc"][-1])
        self._gathered.append(columns)
        self._gathered_ticks += count
        if self._gathered_ticks >= _GROUP_TICKS:
            self._write()

    def __enter__(self) -> Self:
        pa, pq = _pyarrow()
        types = {**COLUMNS, **ANNOTATIONS}
        schema = pa.schema([(name, pa.from_numpy_dtype(kind)) for name, kind in types.items()], metadata=self._names)
        self._file = self._half.open("wb")
        self._writer = pq.ParquetWriter(self._file, schema, compression="zstd")
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        if kind is None and self._gathered:
            self._write()
        self._writer.close()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        if kind is None:
            self._half.replace(self._path)
        else:
            self._half.unlink()

    def _write(self) -> None:
        pa, _ = _pyarrow()
        arrays = []
        for name, kind in {**COLUMNS, **ANNOTATIONS}.items():
            whole = np.concatenate([columns[name] for columns in self._gathered]).astype(kind, copy=False)
            arrays.append(pa.Array.from_buffers(pa.from_numpy_dtype(kind), len(whole), [None, pa.py_buffer(whole)]))
        self._writer.write_table(pa.Table.from_arrays(arrays, schema=self._writer.schema))
        self._gathered, self._gathered_ticks = [], 0


def read_groups(path: Path) -> Iterator[Columns]:
    """COLUMNS of a file that TickWriter wrote, a row group at a time."""
    _, pq = _pyarrow()
    with pq.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            table = file.read_row_group(group, columns=list(COLUMNS))
            yield {name: table.column(name).to_numpy().astype(kind, copy=False) for name, kind in COLUMNS.items()}


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        fail("parquet files need pyarrow, which is not installed: pip install pyarrow")
    return pyarrow, parquet
