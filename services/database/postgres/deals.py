"""Trades that no signal stands for, and how they move exposures."""

from collections.abc import Sequence

from mesh.clock import unix_ns
from services.database.domain.order import Account, AccountRef, DealCause, ExternalDeal, MarginMode
from services.database.domain.order_states import signed
from services.database.postgres import rows
from services.database.postgres.accounts import load, unknown_account
from services.database.postgres.exposures import Exposures, load_exposures
from services.database.postgres.pool import Connection, Postgres

_INSERT = (
    "INSERT INTO external_deals (account_id, deal, cause, order_ticket, position, symbol, side, volume, price, profit,"
    " commission, swap, time_unix_ms, signal_id, holder, recorded_unix_ns)"
    " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)"
)
_KNOWN = "SELECT deal, cause = 'ADOPTED' FROM external_deals WHERE account_id = $1 AND deal = ANY($2)"
# Deals that an order's own report brought: they moved the exposure already.
_REPORTED = "SELECT deal FROM orders WHERE account_id = $1 AND deal = ANY($2) AND deal > 0"
_HOLDERS = "SELECT signal_id, holder FROM orders WHERE account_id = $1 AND signal_id = ANY($2)"


class Deals:
    """The external_deals table."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def record(self, ref: AccountRef, deals: Sequence[ExternalDeal]) -> Account:
        """Store all that are new, and move the exposures by them; the account as it stands afterwards.

        Raises:
            MeshError: UNKNOWN_ACCOUNT.
        """
        async with self._postgres.transaction() as connection:
            account = await connection.fetchrow(
                "SELECT id, margin_mode FROM accounts WHERE server = $1 AND login = $2 FOR UPDATE", *ref
            )
            if account is None:
                raise unknown_account(ref)
            exposures = await load_exposures(connection, account["id"], MarginMode(account["margin_mode"]))
            await _record(connection, account["id"], exposures, deals)
            return await load(connection, ref)

    async def page(self, ref: AccountRef | None, before: int, size: int) -> list[tuple[AccountRef, ExternalDeal]]:
        """Newest first: at most `size` deals with an id below `before` (0: from the newest)."""
        async with self._postgres.connection() as connection:
            found = await connection.fetch(
                "SELECT d.*, a.server, a.login FROM external_deals d JOIN accounts a ON a.id = d.account_id"
                " WHERE ($1::text IS NULL OR (a.server = $1 AND a.login = $2)) AND ($3::bigint = 0 OR d.id < $3)"
                " ORDER BY d.id DESC LIMIT $4",
                ref.server if ref else None,
                ref.login if ref else None,
                before,
                size,
            )
        return [(AccountRef(row["server"], row["login"]), rows.deal(row)) for row in found]


async def _record(connection: Connection, account_id: int, exposures: Exposures, deals: Sequence[ExternalDeal]) -> None:
    tickets = [deal.deal for deal in deals]
    known = {tuple(row) for row in await connection.fetch(_KNOWN, account_id, tickets)}
    fresh = {deal.key: deal for deal in deals if deal.key not in known}
    if not fresh:
        return
    reported = {row["deal"] for row in await connection.fetch(_REPORTED, account_id, tickets)}
    found = await connection.fetch(_HOLDERS, account_id, [deal.signal_id for deal in fresh.values()])
    holders = {row["signal_id"]: row["holder"] for row in found}
    now = unix_ns()
    written = []
    for deal in fresh.values():
        holder = None
        if deal.signal_id and (deal.cause is DealCause.ADOPTED or deal.deal not in reported):
            holder = holders.get(deal.signal_id, "")
            move = exposures.open if deal.cause is DealCause.ADOPTED else exposures.close
            move(deal.symbol, holder, signed(deal.side, deal.volume))
        written.append(_row(account_id, deal, holder, now))
    await connection.executemany(_INSERT, written)
    await exposures.write(connection)


def _row(account_id: int, deal: ExternalDeal, holder: str | None, now_ns: int) -> tuple[object, ...]:
    return (
        account_id,
        deal.deal,
        deal.cause,
        deal.order,
        deal.position,
        deal.symbol,
        deal.side,
        deal.volume,
        deal.price,
        deal.profit,
        deal.commission,
        deal.swap,
        deal.time_unix_ms,
        deal.signal_id,
        holder,
        now_ns,
    )
