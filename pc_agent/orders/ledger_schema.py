"""The ledger's tables, and how a file of an older agent becomes one of today's.

`PRAGMA user_version` counts the migrations that a file has had. One that is published never changes: append another.
"""

import json
import sqlite3
import uuid
from collections.abc import Callable, Sequence

from pc_agent.domain.orders import mark_of
from pc_agent.orders.deal_tables import DEALS, REFUSED_DEALS

_FIRST = """
CREATE TABLE IF NOT EXISTS sequence (
    server TEXT NOT NULL, login INTEGER NOT NULL, epoch TEXT NOT NULL, last_seq TEXT NOT NULL,
    PRIMARY KEY (server, login)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS signal (
    place INTEGER PRIMARY KEY,
    signal_id TEXT NOT NULL UNIQUE, server TEXT NOT NULL, login INTEGER NOT NULL,
    epoch TEXT NOT NULL, seq TEXT NOT NULL, redelivered INTEGER NOT NULL,
    symbol TEXT NOT NULL, side TEXT, volume TEXT NOT NULL, stop_loss TEXT NOT NULL, take_profit TEXT NOT NULL,
    not_after_unix_ms INTEGER NOT NULL,
    received_unix_ns INTEGER NOT NULL, intent_unix_ns INTEGER NOT NULL DEFAULT 0,
    state TEXT NOT NULL, reason TEXT NOT NULL, message TEXT NOT NULL, ticket TEXT NOT NULL, deal TEXT NOT NULL,
    filled_volume TEXT NOT NULL, filled_price TEXT NOT NULL, retcode INTEGER NOT NULL,
    called_unix_ns INTEGER NOT NULL, answered_unix_ns INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS signal_open ON signal (state) WHERE state IN ('RECEIVED', 'INTENT', 'UNKNOWN');
CREATE TABLE IF NOT EXISTS report (
    place INTEGER PRIMARY KEY,
    report_id TEXT NOT NULL UNIQUE,
    entry TEXT NOT NULL
);
"""

# In what order a report of the first ledgers listed its entry.
_FIRST_REPORT = (
    "signal_id", "server", "login", "epoch", "seq", "redelivered", "symbol", "side", "volume", "stop_loss",
    "take_profit", "not_after_unix_ms", "received_unix_ns", "intent_unix_ns", "state", "reason", "message", "ticket",
    "deal", "filled_volume", "filled_price", "retcode", "called_unix_ns", "answered_unix_ns",
)  # fmt: skip

_KINDS = """
ALTER TABLE signal ADD COLUMN kind TEXT NOT NULL DEFAULT 'MARKET';
ALTER TABLE signal ADD COLUMN price TEXT NOT NULL DEFAULT '';
ALTER TABLE signal ADD COLUMN limit_price TEXT NOT NULL DEFAULT '';
ALTER TABLE signal ADD COLUMN position TEXT NOT NULL DEFAULT '0';
ALTER TABLE signal ADD COLUMN opposite_position TEXT NOT NULL DEFAULT '0';
ALTER TABLE signal ADD COLUMN order_ticket TEXT NOT NULL DEFAULT '0';
ALTER TABLE signal ADD COLUMN expires_unix_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE signal ADD COLUMN deviation_points INTEGER NOT NULL DEFAULT 0;
ALTER TABLE signal ADD COLUMN committed_unix_ns INTEGER NOT NULL DEFAULT 0;
ALTER TABLE signal ADD COLUMN sent_unix_ns INTEGER NOT NULL DEFAULT 0;
ALTER TABLE signal ADD COLUMN queued_unix_ns INTEGER NOT NULL DEFAULT 0;
ALTER TABLE signal ADD COLUMN resolved_unix_ns INTEGER NOT NULL DEFAULT 0;
ALTER TABLE signal ADD COLUMN clock_offset_ns INTEGER NOT NULL DEFAULT 0;
ALTER TABLE signal ADD COLUMN magic INTEGER NOT NULL DEFAULT 0;
ALTER TABLE signal ADD COLUMN comment TEXT NOT NULL DEFAULT '';
DROP INDEX signal_open;
CREATE INDEX signal_open ON signal (state)
    WHERE state IN ('RECEIVED', 'INTENT', 'SENT', 'PLACED', 'PARTIALLY_FILLED', 'UNKNOWN');
CREATE INDEX signal_ticket ON signal (ticket) WHERE ticket <> '0';
CREATE INDEX signal_magic ON signal (magic);
CREATE INDEX signal_comment ON signal (comment);
CREATE INDEX signal_resolved ON signal (resolved_unix_ns) WHERE resolved_unix_ns > 0;
-- Digests of the ids of entries that were resolved and dropped: they are still not executed again.
CREATE TABLE dropped (digest BLOB PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE identity (ledger TEXT NOT NULL);
ALTER TABLE report RENAME TO old_report;
-- AUTOINCREMENT: a place is never given twice. `entry`: its row as it was then, as JSON; a report never changes.
CREATE TABLE report (
    place INTEGER PRIMARY KEY AUTOINCREMENT,
    report_id TEXT NOT NULL UNIQUE, server TEXT NOT NULL, login INTEGER NOT NULL, entry TEXT NOT NULL,
    refused_reason TEXT NOT NULL DEFAULT '', refused_message TEXT NOT NULL DEFAULT ''
);
CREATE INDEX report_waiting ON report (server, login, place) WHERE refused_reason = '';
"""
# What a new column of `signal` says of an entry that is older than it.
_OLDER = {
    "kind": "MARKET", "price": "", "limit_price": "", "position": "0", "opposite_position": "0", "order_ticket": "0",
    "expires_unix_ms": 0, "deviation_points": 0, "committed_unix_ns": 0, "sent_unix_ns": 0, "queued_unix_ns": 0,
    "resolved_unix_ns": 0, "clock_offset_ns": 0,
}  # fmt: skip


def _first(database: sqlite3.Connection) -> None:
    _run(database, _FIRST)


def _orders_of_every_kind(database: sqlite3.Connection) -> None:
    """Kinds, times of the whole way, marks, refused reports, an identity."""
    _run(database, _KINDS)
    for (signal_id,) in database.execute("SELECT signal_id FROM signal").fetchall():
        mark = mark_of(signal_id)
        database.execute(
            "UPDATE signal SET magic = ?, comment = ? WHERE signal_id = ?", (mark.magic, mark.comment, signal_id)
        )
    old = database.execute("SELECT place, report_id, entry FROM old_report ORDER BY place").fetchall()
    for place, report_id, values in old:
        row = dict(zip(_FIRST_REPORT, json.loads(values), strict=True)) | _OLDER
        database.execute(
            "INSERT INTO report (place, report_id, server, login, entry) VALUES (?, ?, ?, ?, ?)",
            (place, report_id, row["server"], row["login"], json.dumps(row)),
        )
    database.execute("DROP TABLE old_report")
    database.execute("INSERT INTO identity VALUES (?)", (str(uuid.uuid4()),))


def _deals(database: sqlite3.Connection) -> None:
    _run(database, DEALS)


def _refused_deals(database: sqlite3.Connection) -> None:
    _run(database, REFUSED_DEALS)


MIGRATIONS: Sequence[Callable[[sqlite3.Connection], None]] = (_first, _orders_of_every_kind, _deals, _refused_deals)


class LedgerFileError(Exception):
    """The file can not be used. Nothing is executed without it."""


class NewerLedgerError(LedgerFileError):
    """It was written by a newer agent; this one would not understand it."""


def migrate(database: sqlite3.Connection) -> None:
    """Bring the file up to date, each step whole or not at all.

    Raises:
        NewerLedgerError: it is ahead of this program.
    """
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if version > len(MIGRATIONS):
        raise NewerLedgerError(f"the ledger is of version {version}, this agent knows {len(MIGRATIONS)}: update it")
    for number, step in enumerate(MIGRATIONS[version:], version + 1):
        database.execute("BEGIN IMMEDIATE")
        try:
            step(database)
            database.execute(f"PRAGMA user_version = {number}")
            database.execute("COMMIT")
        except BaseException:
            database.execute("ROLLBACK")
            raise


def _run(database: sqlite3.Connection, script: str) -> None:
    """Statement by statement: `executescript` would commit first."""
    for statement in script.split(";\n"):
        if statement.strip():
            database.execute(statement)
