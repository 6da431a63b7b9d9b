"""Committing, reporting on and reading orders (design section 6)."""

from collections.abc import Sequence
from dataclasses import replace

import asyncpg

from mesh.clock import unix_ns
from mesh.errors import MeshError, Reason
from mesh.failpoint import failpoint
from services.database.domain.order import AccountRef, Event, Order, State
from services.database.domain.tick import Latency
from services.database.postgres import rows
from services.database.postgres.accounts import unknown_account
from services.database.postgres.outbox import CHANNEL, HANDED_DOWN
from services.database.postgres.pool import Connection, Postgres

# One round trip, the commit included: a signal's way is counted in them. It takes the account's row lock and goes by
# the row as it then is; when the revision moved, or the signal is known, nothing is written and `id` is NULL. What a
# denied order does not do stands in the conditions. Of a CLOSE the exposure is whose signal opened the position.
_COMMIT = (
    "WITH account AS MATERIALIZED (SELECT * FROM accounts WHERE server = $1 AND login = $2 FOR UPDATE),"
    " taken AS MATERIALIZED (SELECT account.id, account.epoch, CASE WHEN $5 = 'DENIED' THEN NULL ELSE last_seq + 1 END"
    "  AS seq, COALESCE((SELECT o.holder FROM orders o WHERE $8 = 'CLOSE' AND o.account_id = account.id"
    "   AND o.ticket = $20 AND o.kind IN ('MARKET', 'LIMIT', 'STOP', 'STOP_LIMIT') ORDER BY o.id LIMIT 1), $13)"
    "  AS holder,"
    "  COALESCE((SELECT l.agent FROM leases l WHERE $4 <> '' AND l.account_id = account.id), '') AS agent"
    "  FROM account WHERE revision = $6 AND NOT EXISTS (SELECT FROM orders WHERE signal_id = $3)),"
    " placed AS (INSERT INTO orders (account_id, seq, epoch, holder, agent, signal_id, state, committed_unix_ns, kind,"
    "  symbol, side, volume, stop_loss, strategy, take_profit, reason, message, not_after_unix_ms, submitted_unix_ns,"
    "  position, opposite_position, order_ticket, expires_unix_ms, deviation_points, price, limit_price)"
    "  SELECT id, seq, epoch, holder, agent, $3, $5, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $20, $21,"
    "  $22, $23, $24, $25, $26 FROM taken RETURNING id, seq, epoch, holder, agent),"
    " noted AS (INSERT INTO order_events (signal_id, state_after, at_unix_ns) SELECT $3, $5, $7 FROM taken),"
    " queued AS (INSERT INTO outbox (account_id, epoch, seq, signal_id, ledger)"
    "  SELECT id, epoch, seq, $3, $4 FROM taken WHERE seq IS NOT NULL),"
    " exposed AS (INSERT INTO exposures AS e SELECT id, $9, holder, 0, 1, 0 FROM taken WHERE seq IS NOT NULL"
    "  ON CONFLICT (account_id, symbol, strategy) DO UPDATE SET open_orders = e.open_orders + 1),"
    " moved AS (UPDATE accounts a SET last_seq = taken.seq, revision = a.revision + 1 FROM taken"
    "  WHERE a.id = taken.id AND taken.seq IS NOT NULL)"
    " SELECT placed.*, account.revision,"
    f" CASE WHEN placed.seq IS NOT NULL THEN pg_notify('{CHANNEL}', account.id::text || $19) END"
    " FROM account LEFT JOIN placed ON true"
)


class Orders:
    """The orders table."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def commit_intent(self, order: Order, account_revision: int, ledger: str = "") -> tuple[Order, bool]:
        """Store the order, its event, its outbox row and the account's move in one transaction.

        A known signal id gives the first order, and True. A denied order takes no place in the sequence.

        Args:
            ledger: To which the caller hands it down by itself; empty: the outbox is to.

        Raises:
            MeshError: UNKNOWN_ACCOUNT, ACCOUNT_MOVED, SIGNAL_ID_REUSED.
        """
        async with self._postgres.connection() as connection:
            committed = await _commit(connection, order, account_revision, ledger)
        failpoint("intent.committed")
        return committed

    async def get(self, signal_id: str) -> Order:
        """Raises MeshError UNKNOWN_ORDER."""
        async with self._postgres.connection() as connection:
            found = await find(connection, signal_id)
        if found is None:
            raise unknown_order(signal_id)
        return found

    async def events(self, signal_id: str) -> list[Event]:
        """What happened to the order, in order of time."""
        async with self._postgres.connection() as connection:
            found = await connection.fetch(
                "SELECT e.at_unix_ns, e.state_before, e.state_after,"
                " COALESCE(r.reason, CASE WHEN o.state = 'DENIED' THEN o.reason ELSE '' END) AS reason,"
                " COALESCE(r.message, CASE WHEN o.state = 'DENIED' THEN o.message ELSE '' END) AS message"
                " FROM order_events e JOIN orders o USING (signal_id) LEFT JOIN reports r USING (report_id)"
                " WHERE e.signal_id = $1 ORDER BY e.id",
                signal_id,
            )
        return [rows.event(row) for row in found]

    async def page(self, account: AccountRef | None, states: Sequence[State], before: int, size: int) -> list[Order]:
        """Newest first: at most `size` orders with an id below `before` (0: from the newest)."""
        async with self._postgres.connection() as connection:
            found = await connection.fetch(
                f"{rows.SELECT_ORDERS} WHERE ($1::text IS NULL OR (a.server = $1 AND a.login = $2))"
                " AND ($3::text[] = '{}' OR o.state = ANY($3)) AND ($4::bigint = 0 OR o.id < $4)"
                " ORDER BY o.id DESC LIMIT $5",
                account.server if account else None,
                account.login if account else None,
                list(states),
                before,
                size,
            )
        return [rows.order(row) for row in found]

    async def stats(self) -> tuple[dict[State, int], Latency]:
        """Orders by state, and how long from the commit to `order_send`'s return, the PC's clock set right."""
        async with self._postgres.snapshot() as connection:
            counts = await connection.fetch("SELECT state, count(*) AS orders FROM orders GROUP BY state")
            latency = await connection.fetchval(
                "SELECT percentile_cont(ARRAY[0.5, 0.99])"
                " WITHIN GROUP (ORDER BY (answered_unix_ns + clock_offset_ns - committed_unix_ns) / 1e6)"
                " FROM orders WHERE answered_unix_ns > 0"
            )
        return {State(row["state"]): row["orders"] for row in counts}, Latency(*(latency or ()))


async def _commit(connection: Connection, order: Order, account_revision: int, ledger: str = "") -> tuple[Order, bool]:
    order = replace(order, times=replace(order.times, committed=unix_ns()))
    try:
        row = await connection.fetchrow(_COMMIT, *_commit_row(order, account_revision, ledger))
    except asyncpg.UniqueViolationError:  # the same id, at the same moment
        row = None
    if row is not None and row["id"] is not None:
        placed = replace(order, id=row["id"], seq=row["seq"] or 0, epoch=row["epoch"])
        return replace(placed, holder=row["holder"], agent=row["agent"]), False
    first = await find(connection, order.signal_id)
    if first is not None:
        if not first.same_request(order):
            raise _reused(order)
        return first, True
    if row is None:
        raise unknown_account(order.account)
    raise MeshError(
        Reason.ACCOUNT_MOVED,
        f"account {order.account.login} is at revision {row['revision']}, the decision was made at "
        f"{account_revision}; read the account again and decide again",
        revision=row["revision"],
    )


def _commit_row(order: Order, account_revision: int, ledger: str) -> tuple[object, ...]:
    return (
        *order.account,
        order.signal_id,
        ledger,
        order.state,
        account_revision,
        order.times.committed,
        order.kind,
        order.symbol,
        order.side,
        order.volume,
        order.stop_loss,
        order.strategy,
        order.take_profit,
        order.reason,
        order.message,
        order.not_after_unix_ms,
        order.times.submitted,
        HANDED_DOWN if ledger else "",
        order.position,
        order.opposite_position,
        order.order_ticket,
        order.expires_unix_ms,
        order.deviation_points,
        order.price,
        order.limit_price,
    )


async def find(connection: Connection, signal_id: str) -> Order | None:
    row = await connection.fetchrow(f"{rows.SELECT_ORDERS} WHERE o.signal_id = $1", signal_id)
    return None if row is None else rows.order(row)


def unknown_order(signal_id: str) -> MeshError:
    return MeshError(Reason.UNKNOWN_ORDER, f"no order has the signal id {signal_id!r}", signal_id=signal_id)


def _reused(order: Order) -> MeshError:
    return MeshError(
        Reason.SIGNAL_ID_REUSED,
        f"signal id {order.signal_id!r} was used for another order; repeat a request unchanged, or make a new id",
        signal_id=order.signal_id,
    )
