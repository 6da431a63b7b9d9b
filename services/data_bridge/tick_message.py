"""A message of the log as its readers need it: which stretch of ticks it is, and its bytes as they came."""

from dataclasses import replace
from functools import cached_property, lru_cache

import numpy as np
from google.protobuf.message import DecodeError
from suho.market.v1.tick_pb2 import TickBatchTwin

from mesh.log import get_logger
from mesh.market import Batch, TickId, codec
from mesh.market.batch import COLUMNS
from mesh.market.subjects import parse_tick_subject
from mesh.telemetry import unreadable_messages
from services.data_bridge.domain.progress import SymbolKey, trim

log = get_logger(__name__)

_WIDTHS = tuple((name, dtype.itemsize) for name, dtype in COLUMNS.items())
# What a message costs in memory beside its bytes.
_OVERHEAD_BYTES = 600


class UnreadableError(ValueError):
    """No bridge wrote this; the text says what is wrong with it."""


class UnreadableMessages:
    """Counts what is skipped, and says it once."""

    def __init__(self) -> None:
        self._said = False

    def skip(self, subject: str, error: UnreadableError) -> None:
        unreadable_messages().add(1)
        if not self._said:
            self._said = True
            log.warning(
                "a message that no bridge wrote is skipped; more are counted", subject=subject, because=str(error)
            )


class TickMessage:
    """The ticks of `key` after `prev` up to `last`; of a quarantine marker none. Made by `read_message`.

    What many readers may want is made once, when the first one wants it.
    """

    def __init__(self, key: SymbolKey, prev: TickId, last: TickId, payload: bytes, ticks: int) -> None:
        self.key = key
        self.prev = prev
        self.last = last
        self.payload = payload
        self.ticks = ticks
        self.size = len(payload) + _OVERHEAD_BYTES

    @cached_property
    def newest(self) -> bytes:
        """A message of its newest tick alone; there must be one."""
        batch = self.decode()
        return _encoded(batch.slice(len(batch) - 1, len(batch)))

    def decode(self) -> Batch:
        return codec.decode(TickBatchTwin.FromString(self.payload))

    def after(self, cursor: TickId) -> "TickMessage":
        """The part after `cursor`, which lies within; a quarantine marker has no parts."""
        if not self.ticks:
            return self
        batch = trim(self.decode(), cursor)
        return TickMessage(self.key, cursor, self.last, _encoded(batch), len(batch))


@lru_cache(maxsize=4096)
def parse_key(subject: str) -> SymbolKey:
    """Whose ticks come on `subject`. Raises UnreadableError."""
    try:
        return SymbolKey(*parse_tick_subject(subject))
    except ValueError:
        raise UnreadableError(f"{subject!r} is no symbol's subject") from None


def read_message(key: SymbolKey, payload: bytes) -> TickMessage:
    """The message in `payload`, which came on the subject of `key`. No column is decoded.

    Raises:
        UnreadableError: A bridge writes no such message there.
    """
    try:
        message = TickBatchTwin.FromString(payload)
    except DecodeError as error:
        raise UnreadableError(str(error)) from None
    if (message.server, message.symbol) != key:
        raise UnreadableError(f"it is of {message.symbol!r} of {message.server!r}")
    prev = TickId(message.prev.time_msc, message.prev.ordinal)
    if message.HasField("quarantine"):
        marked = message.quarantine.last
        return TickMessage(key, prev, _ascending(prev, TickId(marked.time_msc, marked.ordinal)), payload, 0)
    _require_whole_columns(message)
    times, ordinals = message.time_msc, message.ordinal
    last = TickId(int.from_bytes(times[-8:], "little", signed=True), int.from_bytes(ordinals[-4:], "little"))
    return TickMessage(key, prev, _ascending(prev, last), payload, message.count)


def stored_message(key: SymbolKey, message: TickBatchTwin, cursor: TickId) -> TickMessage | None:
    """The ticks of the store in `message` that are after `cursor`, each identity once; None: there are none.

    Raises:
        UnreadableError: Its columns differ in length.
    """
    try:
        fresh = codec.decode(message).after(cursor)
    except codec.MalformedBatchError as error:
        raise UnreadableError(str(error)) from None
    if fresh is None:
        return None
    first = np.r_[True, (np.diff(fresh.time_msc) != 0) | (np.diff(fresh.ordinal.astype(np.int64)) != 0)]
    columns = {name: column[first] for name, column in fresh.columns().items()}
    batch = replace(fresh, server=key.server, symbol=key.symbol, prev=cursor, **columns)
    return TickMessage(key, cursor, batch.last_id, _encoded(batch), len(batch))


def _require_whole_columns(message: TickBatchTwin) -> None:
    count = message.count
    if not count:
        raise UnreadableError("it holds no tick")
    for name, width in _WIDTHS:
        if len(getattr(message, name)) not in (0, count * width):
            raise UnreadableError(f"its column {name} does not hold {count} values")


def _ascending(prev: TickId, last: TickId) -> TickId:
    if last <= prev:
        raise UnreadableError(f"it ends at {last.time_msc}/{last.ordinal}, before it begins")
    return last


def _encoded(batch: Batch) -> bytes:
    return TickBatchTwin(**codec.fields(batch)).SerializeToString()
