"""Batches to and from the contract's TickBatchTwin, whose columns are bytes (design section 5, point 2).

Written against a Protocol, so that domains can use it without knowing the generated code.
"""

from typing import Any, Protocol

import numpy as np

from mesh.market.batch import COLUMNS, Batch
from mesh.market.tick import TickId


class TwinMessage(Protocol):
    """`suho.market.v1.TickBatchTwin`."""

    server: str
    symbol: str
    agent: str
    read_unix_ns: int
    count: int
    generation: int

    @property
    def prev(self) -> Any: ...


class MalformedBatchError(ValueError):
    """A column's length is neither 0 nor `count`, or there is no tick."""


def fields(batch: Batch) -> dict[str, Any]:
    """Keyword arguments for TickBatchTwin; all-zero columns are left out."""
    columns = {
        name: np.ascontiguousarray(column, dtype=COLUMNS[name]).tobytes()
        for name, column in batch.columns().items()
        if column.any()
    }
    return {
        "server": batch.server,
        "symbol": batch.symbol,
        "agent": batch.agent,
        "read_unix_ns": batch.read_unix_ns,
        "prev": {"time_msc": batch.prev.time_msc, "ordinal": batch.prev.ordinal},
        "count": len(batch),
        "generation": batch.generation,
        **columns,
    }


def decode(message: TwinMessage) -> Batch:
    """The batch in a TickBatchTwin; no tick is touched in Python.

    Raises:
        MalformedBatchError: naming the column.
    """
    count = message.count
    if count == 0:
        raise MalformedBatchError("a batch needs at least one tick: count is 0")
    columns = {}
    for name, dtype in COLUMNS.items():
        data: bytes = getattr(message, name)
        if len(data) not in (0, count * dtype.itemsize):
            held = len(data) / dtype.itemsize
            raise MalformedBatchError(f"column {name} holds {held:g} values, count says {count}")
        columns[name] = np.frombuffer(data, dtype) if data else np.zeros(count, dtype)
    return Batch(
        server=message.server,
        symbol=message.symbol,
        agent=message.agent,
        read_unix_ns=message.read_unix_ns,
        prev=TickId(message.prev.time_msc, message.prev.ordinal),
        generation=message.generation,
        **columns,
    )
