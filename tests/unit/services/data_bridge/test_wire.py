"""A lane's messages, decoded."""

import numpy as np
import pytest
from suho.market.v1 import bridge_pb2 as pb
from suho.market.v1 import tick_pb2

from mesh.errors import MeshError, Reason
from mesh.market import codec
from services.data_bridge import wire
from tests.unit.services.data_bridge.ticks import history


def varint(value: int) -> bytes:
    low, rest = value & 0x7F, value >> 7
    return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])


def field(number: int, content: bytes) -> bytes:
    """A length-delimited field."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def not_packed(column: bytes) -> bytes:
    return b"".join(bytes([9 << 3 | 1]) + column[at : at + 8] for at in range(0, len(column), 8))


def in_pieces(column: bytes) -> bytes:
    return field(9, column[:40]) + field(9, column[40:])


@pytest.mark.parametrize("written", [not_packed, in_pieces])
@pytest.mark.parametrize("place", ["batches", "resent"])
def test_a_foreign_encoder_may_split_a_column_wherever_a_batch_stands(written: object, place: str) -> None:
    """Resent batches are read like the others."""
    ticks = history(20, bid=np.arange(20) + 1.0)
    batch = tick_pb2.TickBatchTwin(**codec.fields(ticks))
    column = batch.bid
    batch.ClearField("bid")
    body = batch.SerializeToString() + written(column)  # type: ignore[operator]
    raw = field(4, body) if place == "batches" else field(7, bytes([1 << 3, 5]) + field(2, body))
    request = wire.lane_request(raw, 100)
    [arrival] = request.arrivals if place == "batches" else [item.arrival for item in request.resent]
    assert arrival.batch.bid.tolist() == ticks.bid.tolist()
    assert [item.request for item in request.resent] == ([5] if place == "resent" else [])


def test_resent_ticks_count_in_a_messages_limit() -> None:
    """A message holds so many ticks in all."""
    batch = tick_pb2.TickBatchTwin(**codec.fields(history(60)))
    request = pb.StreamTicksRequestTwin(batches=[batch], resent=[pb.ResentBatchTwin(request=1, batch=batch)])
    assert len(wire.lane_request(request.SerializeToString(), 120).resent) == 1
    with pytest.raises(MeshError) as refused:
        wire.lane_request(request.SerializeToString(), 119)
    assert refused.value.reason is Reason.BATCH_TOO_LARGE
