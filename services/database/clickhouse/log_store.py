"""What is stored of the log: inserts that carry their place in it, and the place that they reached."""

import asyncio
from collections.abc import Callable

import pyarrow as pa

from mesh.market import TickId
from services.database.clickhouse.arrow import marker_rows, tick_rows
from services.database.clickhouse.client import ClickHouse
from services.database.domain.log import Identity, MarkerRange, Position, TickRange

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
        # Large ranges take tens of milliseconds, in which the loop has other callers to answer.
        table, rows = await asyncio.to_thread(_rows, span, epoch, self._now_ns())
        written = await self._clickhouse.insert(table, rows, _SETTINGS)
        if written != rows.num_rows:
            raise IncompleteInsertError(f"ClickHouse wrote {written} of {rows.num_rows} rows into {table}")


def _rows(span: TickRange | MarkerRange, epoch: int, now_ns: int) -> tuple[str, pa.Table]:
    """The table and what goes into it."""
    if isinstance(span, TickRange):
        return "ticks", tick_rows(span.messages, epoch, now_ns)
    return "tick_quarantine", marker_rows(span.messages, epoch, now_ns)
