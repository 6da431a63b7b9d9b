"""What is stored of the log: inserts that carry their place in it, and the place that they reached."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from mesh.market import TickId
from mesh.market.batch import COLUMNS
from services.database.clickhouse.client import ClickHouse
from services.database.domain.log import Identity, MarkerRange, Position, TickRange, Ticks

_COMMENT = "suho sink"
_SETTINGS = {
    "async_insert": "0",
    "wait_end_of_query": "1",
    "log_comment": _COMMENT,
    # One block, one part: an insert is there as a whole or not at all.
    "max_insert_block_size": "4000000",
    "min_insert_block_size_rows": "4000000",
    "min_insert_block_size_bytes": "2000000000",
    "max_insert_threads": "1",
}


class IncompleteInsertError(Exception):
    """ClickHouse wrote fewer rows than were sent: the insert was ended from outside."""


class LogStore:
    """Ticks and markers in ClickHouse, by their place in the log.

    Args:
        now_ns: The clock that says when rows were handed over.
    """

    def __init__(self, clickhouse: ClickHouse, now_ns: Callable[[], int]) -> None:
        self._clickhouse = clickhouse
        self._now_ns = now_ns

    async def end_older_inserts(self) -> None:
        """A sink that died may have left an insert under way, which must not arrive after the position is read."""
        await self._clickhouse.command(
            "KILL QUERY WHERE Settings['log_comment'] = {comment:String} AND query_kind = 'Insert' SYNC",
            comment=_COMMENT,
        )

    async def position(self, epoch: int) -> Position:
        """The last message of the epoch of which rows are stored."""
        found = await self._clickhouse.rows(
            "SELECT max(seq) AS seq FROM ("
            "SELECT max(log_seq) AS seq FROM ticks WHERE log_epoch = {epoch:UInt64}"
            " UNION ALL SELECT max(log_seq) FROM tick_quarantine WHERE log_epoch = {epoch:UInt64})",
            epoch=epoch,
        )
        return Position(epoch, int(found[0]["seq"]))

    async def identity(self, position: Position) -> Identity:
        """Which message the rows at `position` say it was."""
        found = await self._clickhouse.rows(
            "SELECT server, symbol, time_msc, ordinal FROM ticks"
            " WHERE log_epoch = {epoch:UInt64} AND log_seq = {seq:UInt64}"
            " ORDER BY time_msc DESC, ordinal DESC LIMIT 1"
            " UNION ALL SELECT server, symbol, last_time_msc, last_ordinal FROM tick_quarantine"
            " WHERE log_epoch = {epoch:UInt64} AND log_seq = {seq:UInt64} LIMIT 1",
            **position._asdict(),
        )
        row = found[0]
        return Identity(row["server"], row["symbol"], TickId(row["time_msc"], row["ordinal"]))

    async def store(self, span: TickRange | MarkerRange, epoch: int) -> None:
        """Insert one range.

        Raises:
            IncompleteInsertError: not all of its rows were written.
        """
        if isinstance(span, TickRange):
            table, rows = "ticks", _tick_rows(span.messages, epoch, self._now_ns())
        else:
            table, rows = "tick_quarantine", _marker_rows(span, epoch, self._now_ns())
        written = await self._clickhouse.insert(table, rows, _SETTINGS)
        if written != rows.num_rows:
            raise IncompleteInsertError(f"ClickHouse wrote {written} of {rows.num_rows} rows into {table}")


def _tick_rows(messages: Sequence[Ticks], epoch: int, now_ns: int) -> pa.Table:
    batches = [message.batch for message in messages]
    lengths = np.array([len(batch) for batch in batches])
    columns: dict[str, Any] = {
        name: pa.array(np.concatenate([getattr(batch, name) for batch in batches])) for name in COLUMNS
    }
    for name in ("server", "symbol", "agent"):
        columns[name] = _words([getattr(batch, name) for batch in batches], lengths)
    columns["read_unix_ns"] = pa.array(np.repeat(np.array([b.read_unix_ns for b in batches], np.int64), lengths))
    columns["log_seq"] = pa.array(np.repeat(np.array([message.seq for message in messages], np.uint64), lengths))
    rows = int(lengths.sum())
    columns["stored_unix_ns"] = pa.array(np.full(rows, now_ns, np.int64))
    columns["log_epoch"] = pa.array(np.full(rows, epoch, np.uint64))
    return pa.table(columns)


def _words(words: Sequence[str], lengths: Any) -> pa.DictionaryArray:
    """Each word as often as its length says, stored once."""
    known = sorted(set(words))
    places = {word: place for place, word in enumerate(known)}
    indices = np.repeat(np.array([places[word] for word in words], np.int32), lengths)
    return pa.DictionaryArray.from_arrays(pa.array(indices), pa.array(known, pa.string()))


def _marker_rows(span: MarkerRange, epoch: int, now_ns: int) -> pa.Table:
    schema = pa.schema(
        {
            "server": pa.string(),
            "symbol": pa.string(),
            "prev_time_msc": pa.int64(),
            "prev_ordinal": pa.uint32(),
            "last_time_msc": pa.int64(),
            "last_ordinal": pa.uint32(),
            "count": pa.uint32(),
            "reason": pa.string(),
            "agent": pa.string(),
            "read_unix_ns": pa.int64(),
            "stored_unix_ns": pa.int64(),
            "log_epoch": pa.uint64(),
            "log_seq": pa.uint64(),
        }
    )
    rows = [
        (m.server, m.symbol, *m.prev, *m.last, m.count, m.reason, m.agent, m.read_unix_ns, now_ns, epoch, m.seq)
        for m in span.messages
    ]
    return pa.table(
        [pa.array(column, field.type) for column, field in zip(zip(*rows, strict=True), schema, strict=True)], schema
    )
