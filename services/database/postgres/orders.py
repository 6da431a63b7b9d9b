"""Committing, reporting on and reading orders (design section 6)."""

from collections.abc import Sequence
from dataclasses import replace

import asyncpg

from mesh.clock import unix_ns
from mesh.errors import MeshError, Reason
from services.database.domain.order import AccountRef, Order, State
from services.database.domain.order_states import exposure_change
from services.database.domain.tick import Latency
from services.database.postgres import rows
from services.database.postgres.accounts import expose, unknown_account
from services.database.postgres.outbox import CHANNEL
from services.database.postgres.pool import Connection, Postgres

# One round trip: a signal's way is counted in them. What a denied order (seq 0) does not do stands in the conditions.
_COMMIT = (
    "WITH placed AS (INSERT INTO orders (account_id, signal_id, seq, epoch, state, committed_unix_ns, symbol, side,"
    " volume, stop_loss, take_profit, strategy, reason, message, not_after_unix_ms, submitted_unix_ns)"
    " VALUES ($1, $2, NULLIF($3::bigint, 0), $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16) RETURNING id),"
    " noted AS (INSERT INTO order_events (signal_id, state_after, at_unix_ns) VALUES ($2, $5, $6)),"
    " queued AS (INSERT INTO outbox (account_id, epoch, seq, signal_id) SELECT $1, $4, $3, $2 WHERE $3 > 0),"
    " moved AS (UPDATE accounts SET last_seq = $3, revision = revision + 1 WHERE id = $1 AND $3 > 0)"
    f" SELECT id, CASE WHEN $3 > 0 THEN pg_notify('{CHANNEL}', $1::text) END FROM placed"
)


class Orders:
    """The orders table."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def commit_intent(self, order: Order, account_revision: int) -> tuple[Order, bool]:
        """Store the order, its event, its outbox row and the account's move in one transaction.

        A known signal id gives the first order, and True. A denied order takes no place in the sequence.

        Raises:
            MeshError: UNKNOWN_ACCOUNT, ACCOUNT_MOVED, SIGNAL_ID_REUSED.
        """
        try:
            async with self._postgres.transaction() as connection:
                return await _commit(connection, order, account_revision)
        except asyncpg.UniqueViolationError:  # the same id, at the same moment, for another account
            raise _reused(order) from None

    async def get(self, signal_id: str) -> Order:
        """Raises MeshError UNKNOWN_ORDER."""
        async with self._postgres.connection() as connection:
            found = await find(connection, signal_id)
        if found is None:
            raise unknown_order(signal_id)
        return found

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
        """Orders by state, and how long from the commit (server's clock) to `order_send`'s return (PC's clock)."""
        async with self._postgres.snapshot() as connection:
            counts = await connection.fetch("SELECT state, count(*) AS orders FROM orders GROUP BY state")
            latency = await connection.fetchval(
                "SELECT percentile_cont(ARRAY[0.5, 0.99])"
                " WITHIN GROUP (ORDER BY (answered_unix_ns - committed_unix_ns) / 1e6)"
                " FROM orders WHERE answered_unix_ns > 0"
            )
        return {State(row["state"]): row["orders"] for row in counts}, Latency(*(latency or ()))


async def _commit(connection: Connection, order: Order, account_revision: int) -> tuple[Order, bool]:
    account = await connection.fetchrow(
        "SELECT id, revision, epoch, last_seq FROM accounts WHERE server = $1 AND login = $2 FOR UPDATE", *order.account
    )
    if account is None:
        raise unknown_account(order.account)
    first = await find(connection, order.signal_id)
    if first is not None:
        if not first.same_request(order):
            raise _reused(order)
        return first, True
    if account["revision"] != account_revision:
        raise MeshError(
            Reason.ACCOUNT_MOVED,
            f"account {order.account.login} is at revision {account['revision']}, the decision was made at "
            f"{account_revision}; read the account again and decide again",
            revision=account["revision"],
        )
    relayed = order.state is not State.DENIED
    seq = account["last_seq"] + 1 if relayed else 0
    times = replace(order.times, committed=unix_ns())
    stored = replace(order, seq=seq, epoch=account["epoch"], times=times)
    stored = replace(stored, id=await _write(connection, account["id"], stored))
    if relayed:
        await expose(connection, account["id"], stored, exposure_change(None, stored))
    return stored, False


async def _write(connection: Connection, account_id: int, order: Order) -> int:
    """Order, event, outbox row, the account's move and the notice that watchers hear at the commit."""
    order_id: int = await connection.fetchval(
        _COMMIT,
        account_id,
        order.signal_id,
        order.seq,
        order.epoch,
        order.state,
        order.times.committed,
        order.symbol,
        order.side,
        order.volume,
        order.stop_loss,
        order.take_profit,
        order.strategy,
        order.reason,
        order.message,
        order.not_after_unix_ms,
        order.times.submitted,
    )
    return order_id


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
