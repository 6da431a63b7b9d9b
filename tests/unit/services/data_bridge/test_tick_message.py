"""Messages of the log and of the store, as their readers need them."""

from dataclasses import replace

import numpy as np
import pytest
from suho.market.v1.tick_pb2 import Quarantine, TickBatchTwin
from suho.market.v1.tick_pb2 import TickId as TickIdMessage

from mesh.market import Batch, TickId, codec
from services.data_bridge.domain.progress import SymbolKey
from services.data_bridge.tick_message import UnreadableError, parse_key, read_message, stored_message
from tests.unit.services.data_bridge.ticks import history, identities

KEY = SymbolKey("twin-1", "EURUSD")
TICKS = history(10).slice(2, 8)


def encoded(batch: Batch, **changes: object) -> bytes:
    return TickBatchTwin(**{**codec.fields(batch), **changes}).SerializeToString()


def test_a_message_says_where_it_begins_and_ends() -> None:
    """Its bytes stay as they came."""
    message = read_message(KEY, encoded(TICKS))
    assert (message.prev, message.last, message.ticks) == (TICKS.prev, TICKS.last_id, 6)
    assert message.payload == encoded(TICKS)
    assert identities(codec.decode(TickBatchTwin.FromString(message.newest))) == [TICKS.last_id]


def test_the_part_after_a_cursor_follows_on_it() -> None:
    """An overlapping message is cut, a marker is not."""
    part = read_message(KEY, encoded(TICKS)).after(TICKS.id_at(1))
    assert (part.prev, part.ticks) == (TICKS.id_at(1), 4)
    assert identities(part.decode()) == identities(TICKS.slice(2, 6))
    marker = TickBatchTwin(server=KEY.server, symbol=KEY.symbol, quarantine=Quarantine(last=TickIdMessage(time_msc=9)))
    message = read_message(KEY, marker.SerializeToString())
    assert message.after(TickId(5, 0)) is message
    assert (message.last, message.ticks) == (TickId(9, 0), 0)


@pytest.mark.parametrize(
    "payload",
    [
        b"hello",
        b"",
        encoded(TICKS, symbol="GBPUSD"),
        encoded(TICKS, count=5),
        encoded(TICKS, bid=b"1234567"),
        encoded(replace(TICKS, prev=TICKS.last_id)),
    ],
    ids=["no protobuf", "empty", "other symbol", "count", "column", "ends before it begins"],
)
def test_what_no_bridge_wrote_can_not_be_read(payload: bytes) -> None:
    """The error is one that readers expect."""
    with pytest.raises(UnreadableError):
        read_message(KEY, payload)


@pytest.mark.parametrize("subject", ["ticks.a", "ticks.a.b.c", "orders.a.b", "ticks.=FF.b"])
def test_a_subject_of_no_symbol_can_not_be_read(subject: str) -> None:
    """Anybody may publish below ticks."""
    with pytest.raises(UnreadableError):
        parse_key(subject)


def test_stored_ticks_follow_on_the_cursor_each_once() -> None:
    """The store shows an identity with two values twice, and may repeat the last one."""
    twice = Batch.join([TICKS.slice(0, 3), replace(TICKS.slice(2, 3), bid=np.array([9.0])), TICKS.slice(3, 6)])
    message = stored_message(KEY, TickBatchTwin(**codec.fields(twice)), TICKS.first_id)
    assert message is not None
    assert message.prev == TICKS.first_id
    assert identities(message.decode()) == identities(TICKS.slice(1, 6))
    assert stored_message(KEY, TickBatchTwin(**codec.fields(TICKS)), TICKS.last_id) is None
