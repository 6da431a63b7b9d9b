"""What is stored of a log: inserts that carry their place in it, and the place that they reached."""

import asyncio
from collections.abc import Callable

import pyarrow as pa

from mesh.market import TickId
from services.database.clickhouse.arrow import correction_rows, marker_rows, tick_rows
from services.database.clickhouse.client import ClickHouse
from services.database.domain.annotation import Annotator
from services.database.domain.log import Identity, MarkerRange, Range, TickRange

_SETTINGS = {
    "async_insert": "0",
    "wait_end_of_query": "1",
    # One block, one part: an insert is there as a whole or not at all.
    "max_insert_block_size": "4000000",
    "min_insert_block_size_rows": "4000000",
    "min_insert_block_size_bytes": "2000000000",
    "max_insert_threads": "1",
}

_IDENTITIES = (
    "SELECT server, symbol, max((time_msc, ordinal)) AS last, read_unix_ns FROM ticks WHERE log_seq = {seq:UInt64}"
    " GROUP BY log_epoch, server, symbol, read_unix_ns"
    " UNION ALL SELECT server, symbol, (last_time_msc, last_ordinal), read_unix_ns FROM tick_quarantine"
    " WHERE log_seq = {seq:UInt64}"
    " UNION ALL SELECT server, symbol, (to_msc, generation), 0 FROM tick_corrections WHERE log_seq = {seq:UInt64}"
)


class IncompleteInsertError(Exception):
    """ClickHouse wrote fewer rows than were sent: the insert was ended from outside."""


class LogStore:
    """Ticks, markers and corrections in ClickHouse, by their place in one log.

    Args:
        log: The log's name, under which this sink's inserts are known.
        annotator: Says what is stored beside each tick.
        now_ns: The clock that says when rows were handed over.
    """

    def __init__(self, clickhouse: ClickHouse, log: str, annotator: Annotator, now_ns: Callable[[], int]) -> None:
        self._clickhouse = clickhouse
        self._comment = f"suho sink {log}"
        self._annotator = annotator
        self._settings = {**_SETTINGS, "log_comment": self._comment}
        self._now_ns = now_ns

    async def end_older_inserts(self) -> None:
        """A sink that died may have left an insert under way, which must not arrive after the position is read."""
        await self._clickhouse.command(
            "KILL QUERY WHERE Settings['log_comment'] = {comment:String} AND query_kind = 'Insert'"
            " AND current_database = currentDatabase() SYNC",
            comment=self._comment,
        )

    async def stored_seq(self, epoch: int) -> int:
        """The last message of the epoch of which rows are stored; 0: none."""
        found = await self._clickhouse.rows(
            "SELECT max(seq) AS seq FROM ("
            "SELECT max(log_seq) AS seq FROM ticks WHERE log_epoch = {epoch:UInt64}"
            " UNION ALL SELECT max(log_seq) FROM tick_quarantine WHERE log_epoch = {epoch:UInt64}"
            " UNION ALL SELECT max(log_seq) FROM tick_corrections WHERE log_epoch = {epoch:UInt64})",
            epoch=epoch,
        )
        return int(found[0]["seq"])

    async def identities(self, seq: int) -> set[Identity]:
        """Which messages the rows under a number say they were, in whatever epoch."""
        found = await self._clickhouse.rows(_IDENTITIES, seq=seq)
        return {Identity(row["server"], row["symbol"], TickId(*row["last"]), row["read_unix_ns"]) for row in found}

    async def store(self, span: Range, epoch: int) -> None:
        """Insert one range.

        Raises:
            IncompleteInsertError: not all of its rows were written.
        """
        # Large ranges take tens of milliseconds, in which the loop has other callers to answer.
        table, rows = await asyncio.to_thread(self._rows, span, epoch)
        written = await self._clickhouse.insert(table, rows, self._settings)
        if written != rows.num_rows:
            raise IncompleteInsertError(f"ClickHouse wrote {written} of {rows.num_rows} rows into {table}")

    def _rows(self, span: Range, epoch: int) -> tuple[str, pa.Table]:
        """The table and what goes into it."""
        now_ns = self._now_ns()
        if isinstance(span, TickRange):
            return "ticks", tick_rows(span.messages, self._annotator.annotate(span.messages), epoch, now_ns)
        if isinstance(span, MarkerRange):
            self._annotator.refused(span.messages)
            return "tick_quarantine", marker_rows(span.messages, epoch, now_ns)
        return "tick_corrections", correction_rows(span.messages, epoch, now_ns)
