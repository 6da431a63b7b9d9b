"""The twin message: the same bytes as the typed one, both ways."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from suho.market.v1.tick_pb2 import TickBatch, TickBatchTwin

from mesh.market import Batch, codec
from mesh.market.batch import COLUMNS
from tests.unit.mesh.market.ticks import batches, same


@given(batches())
def test_a_batch_survives_the_wire(batch: Batch) -> None:
    """Encoding and decoding gives the same bits, absent columns included."""
    raw = TickBatchTwin(**codec.fields(batch)).SerializeToString()
    assert same(codec.decode(TickBatchTwin.FromString(raw)), batch)


@given(batches())
def test_twin_bytes_are_typed_bytes(batch: Batch) -> None:
    """What the twin writes, the typed message reads, and writes again byte by byte."""
    raw = TickBatchTwin(**codec.fields(batch)).SerializeToString()
    typed = TickBatch.FromString(raw)
    assert typed.SerializeToString(deterministic=True) == raw
    for name, dtype in COLUMNS.items():
        column = np.array(getattr(typed, name), dtype)
        expected = getattr(batch, name)
        assert column.tobytes() == (expected.tobytes() if expected.any() else b"")


@given(batches())
def test_the_twin_reads_what_the_typed_message_writes(batch: Batch) -> None:
    """Any language's typed message decodes to the same columns."""
    columns: dict[str, Any] = {name: column.tolist() for name, column in batch.columns().items()}
    typed = TickBatch(
        server=batch.server,
        symbol=batch.symbol,
        agent=batch.agent,
        read_unix_ns=batch.read_unix_ns,
        prev={"time_msc": batch.prev.time_msc, "ordinal": batch.prev.ordinal},
        count=len(batch),
        **columns,
    )
    decoded = codec.decode(TickBatchTwin.FromString(typed.SerializeToString()))
    for name in COLUMNS:
        np.testing.assert_array_equal(getattr(decoded, name), getattr(batch, name))


@given(batches(most=5))
def test_a_column_of_another_length_is_malformed(batch: Batch) -> None:
    """The error names the column and both lengths."""
    message = TickBatchTwin(**codec.fields(batch))
    message.ask = bytes(8 * len(batch) + 8)
    with pytest.raises(codec.MalformedBatchError, match=rf"ask holds {len(batch) + 1} values, count says {len(batch)}"):
        codec.decode(message)


def test_a_batch_without_ticks_is_malformed() -> None:
    """`count` 0 is no batch."""
    with pytest.raises(codec.MalformedBatchError, match="count is 0"):
        codec.decode(TickBatchTwin(server="s", symbol="EURUSD"))
