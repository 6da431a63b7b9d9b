"""Messages of the log as Arrow tables, column by column; no tick is touched in Python.

Arrays are made from buffers: `pyarrow.array` would import pandas where it is installed, for a second or more.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mesh.market.batch import COLUMNS
from services.database.domain.annotation import Annotations
from services.database.domain.incident import Incident
from services.database.domain.log import Correction, Marker, Ticks

# Columns by name: their type, their values.
_Given = dict[str, tuple[type[np.generic], list[int]]]


def tick_rows(messages: Sequence[Ticks], annotations: Annotations, epoch: int, now_ns: int) -> pa.Table:
    """Rows of the ticks table, handed over at `now_ns`; `annotations` are of all their ticks, in order."""
    batches = [message.batch for message in messages]
    lengths = np.array([len(batch) for batch in batches])
    rows = int(lengths.sum())
    columns = {name: numbers(np.concatenate([getattr(batch, name) for batch in batches])) for name in COLUMNS}
    for name in ("server", "symbol", "agent"):
        columns[name] = words([getattr(batch, name) for batch in batches], lengths)
    columns["read_unix_ns"] = numbers(np.repeat(np.array([b.read_unix_ns for b in batches], np.int64), lengths))
    columns["generation"] = numbers(np.repeat(np.array([b.generation for b in batches], np.uint32), lengths))
    columns["utc_msc"] = numbers(annotations.utc_msc)
    columns["marks"] = numbers(annotations.marks)
    columns["log_seq"] = numbers(np.repeat(np.array([message.seq for message in messages], np.uint64), lengths))
    columns["stored_unix_ns"] = numbers(np.full(rows, now_ns, np.int64))
    columns["log_epoch"] = numbers(np.full(rows, epoch, np.uint64))
    return pa.Table.from_arrays(list(columns.values()), list(columns))


def marker_rows(markers: Sequence[Marker], epoch: int, now_ns: int) -> pa.Table:
    """Rows of the tick_quarantine table, handed over at `now_ns`."""
    columns = {name: _texts([getattr(m, name) for m in markers]) for name in ("server", "symbol", "agent", "reason")}
    given: _Given = {
        "prev_time_msc": (np.int64, [m.prev.time_msc for m in markers]),
        "prev_ordinal": (np.uint32, [m.prev.ordinal for m in markers]),
        "last_time_msc": (np.int64, [m.last.time_msc for m in markers]),
        "last_ordinal": (np.uint32, [m.last.ordinal for m in markers]),
        "count": (np.uint32, [m.count for m in markers]),
        "read_unix_ns": (np.int64, [m.read_unix_ns for m in markers]),
        "stored_unix_ns": (np.int64, [now_ns] * len(markers)),
        "log_epoch": (np.uint64, [epoch] * len(markers)),
        "log_seq": (np.uint64, [m.seq for m in markers]),
    }
    return _table(columns, given)


def correction_rows(corrections: Sequence[Correction], epoch: int, now_ns: int) -> pa.Table:
    """Rows of the tick_corrections table, handed over at `now_ns`."""
    columns = {name: _texts([getattr(c, name) for c in corrections]) for name in ("server", "symbol", "reason")}
    given: _Given = {
        "generation": (np.uint32, [c.generation for c in corrections]),
        "from_msc": (np.int64, [c.from_msc for c in corrections]),
        "to_msc": (np.int64, [c.to_msc for c in corrections]),
        "count": (np.uint64, [c.count for c in corrections]),
        "stored_unix_ns": (np.int64, [now_ns] * len(corrections)),
        "log_epoch": (np.uint64, [epoch] * len(corrections)),
        "log_seq": (np.uint64, [c.seq for c in corrections]),
    }
    return _table(columns, given)


def incident_rows(incidents: Sequence[Incident]) -> pa.Table:
    """Rows of the tick_incidents table."""
    names = ("id", "kind", "server", "symbol", "detail", "reporter")
    columns = {name: _texts([getattr(item, name) for item in incidents]) for name in names}
    for name, kind in (("at_unix_ms", np.int64), ("from_msc", np.int64), ("to_msc", np.int64), ("ticks", np.uint64)):
        columns[name] = numbers(np.array([getattr(item, name) for item in incidents], kind))
    return pa.Table.from_arrays(list(columns.values()), list(columns))


def _table(columns: dict[str, pa.Array], given: _Given) -> pa.Table:
    columns = columns | {name: numbers(np.array(values, kind)) for name, (kind, values) in given.items()}
    return pa.Table.from_arrays(list(columns.values()), list(columns))


def numbers(values: npt.NDArray[Any]) -> pa.Array:
    """The same memory as an Arrow array."""
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [None, pa.py_buffer(values)])


def _texts(texts: Sequence[str]) -> pa.Array:
    encoded = [text.encode() for text in texts]
    ends = np.cumsum([0, *map(len, encoded)], dtype=np.int32)
    return pa.Array.from_buffers(pa.string(), len(texts), [None, pa.py_buffer(ends), pa.py_buffer(b"".join(encoded))])


def words(texts: Sequence[str], lengths: npt.NDArray[np.int64]) -> pa.DictionaryArray:
    """Each word as often as its length says, stored once."""
    known = sorted(set(texts))
    places = {word: place for place, word in enumerate(known)}
    indices = np.repeat(np.array([places[word] for word in texts], np.int32), lengths)
    return pa.DictionaryArray.from_arrays(numbers(indices), _texts(known))
