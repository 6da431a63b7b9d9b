"""Trades that no signal stands for, and how they move exposures.

A deal counts once, whoever tells it first: as external, or in the report of the order that made it. That one wins.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mesh.clock import unix_ns
from mesh.orders import ENTRIES, TRADES
from services.database.domain.order import Account, AccountRef, DealCause, ExternalDeal, Side
from services.database.domain.order_states import signed
from services.database.postgres import rows
from services.database.postgres.accounts import unknown_account
from services.database.postgres.exposures import Exposures, lock_exposures
from services.database.postgres.pool import Connection, Postgres, storing

_INSERT = (
    "INSERT INTO external_deals (account_id, deal, cause, order_ticket, position, symbol, side, volume, price, profit,"
    " commission, swap, time_unix_ms, signal_id, holder, recorded_unix_ns)"
    " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)"
)
_KNOWN = "SELECT deal, cause = 'ADOPTED' FROM external_deals WHERE account_id = $1 AND deal = ANY($2)"
# What an order's own report tells of: it moved the exposure already, or is going to.
_REPORTED = (
    "SELECT deal, ticket FROM orders WHERE account_id = $1 AND kind = ANY($4)"
    " AND ((deal = ANY($2) AND deal > 0) OR (ticket = ANY($3) AND ticket > 0))"
)
_HOLDERS = "SELECT signal_id, holder FROM orders WHERE account_id = $1 AND signal_id = ANY($2)"
# A position's ticket is its first order's, whatever the agent still knows of it.
_OPENERS = (
    "SELECT ticket, holder FROM orders WHERE account_id = $1 AND ticket = ANY($2) AND ticket > 0 AND kind = ANY($3)"
)
_TOLD_BEFORE = (
    "SELECT id, symbol, holder, side, volume FROM external_deals WHERE account_id = $1 AND holder IS NOT NULL"
    " AND ((deal = ANY($2) AND cause <> 'ADOPTED') OR (order_ticket = ANY($3) AND signal_id = ''))"
)
_COUNTED_BY_REPORT = "UPDATE external_deals SET holder = NULL WHERE id = ANY($1)"


class Deals:
    """The external_deals table."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def record(self, ref: AccountRef, deals: Sequence[ExternalDeal]) -> Account:
        """Store all that are new, and move the exposures by them; the account as it stands afterwards.

        Raises:
            MeshError: UNKNOWN_ACCOUNT, INVALID_ARGUMENT.
        """
        with storing("external_deals"):
            return await self._record(ref, deals)

    async def _record(self, ref: AccountRef, deals: Sequence[ExternalDeal]) -> Account:
        async with self._postgres.transaction() as connection:
            exposures = (await lock_exposures(connection, [ref])).get(ref)
            if exposures is None:
                raise unknown_account(ref)
            await _record(connection, exposures.account_id, exposures, deals)
            return exposures.account

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


async def give_back(
    connection: Connection, account_id: int, exposures: Exposures, deals: Sequence[int], tickets: Sequence[int]
) -> None:
    """Orders report `deals`, theirs are `tickets`: what was told of them as external counts no more."""
    found = await connection.fetch(
        _TOLD_BEFORE, account_id, [one for one in deals if one], [one for one in tickets if one]
    )
    for row in found:
        exposures.open(row["symbol"], row["holder"], -signed(Side(row["side"]), row["volume"]))
    if found:
        await connection.execute(_COUNTED_BY_REPORT, [row["id"] for row in found])


async def _record(connection: Connection, account_id: int, exposures: Exposures, deals: Sequence[ExternalDeal]) -> None:
    known = {tuple(row) for row in await connection.fetch(_KNOWN, account_id, [deal.deal for deal in deals])}
    fresh = {deal.key: deal for deal in deals if deal.key not in known}
    if not fresh:
        return
    orders = await _orders_of(connection, account_id, list(fresh.values()))
    now = unix_ns()
    written = []
    for deal in fresh.values():
        holder = orders.holder(deal)
        if holder is not None:
            move = exposures.open if deal.cause is DealCause.ADOPTED else exposures.close
            move(deal.symbol, holder, signed(deal.side, deal.volume))
        written.append(_row(account_id, deal, holder, now))
    await connection.executemany(_INSERT, written)
    await exposures.write(connection)


@dataclass(frozen=True, slots=True)
class _Orders:
    """What the orders know of some deals: `holders` by signal, `openers` by the position's ticket."""

    deals: frozenset[int]
    tickets: frozenset[int]
    holders: Mapping[str, str]
    openers: Mapping[int, str]

    def holder(self, deal: ExternalDeal) -> str | None:
        """Whose exposure it moves; None: nobody's.

        An agent that lost its ledger takes for foreign what the orders still know as opened here; adopted again it
        counts already.
        """
        opener = self.openers.get(deal.position)
        if deal.cause is DealCause.ADOPTED:
            return self.holders.get(deal.signal_id, "") if deal.signal_id and opener is None else None
        if deal.deal in self.deals:
            return None
        if deal.signal_id:
            return self.holders.get(deal.signal_id, "") if opener is None else opener
        return None if deal.order in self.tickets else opener


async def _orders_of(connection: Connection, account_id: int, deals: Sequence[ExternalDeal]) -> _Orders:
    tickets = [deal.deal for deal in deals], [deal.order for deal in deals]
    reported = await connection.fetch(_REPORTED, account_id, *tickets, [str(kind) for kind in TRADES])
    named = await connection.fetch(_HOLDERS, account_id, [deal.signal_id for deal in deals])
    positions = [deal.position for deal in deals]
    opened = await connection.fetch(_OPENERS, account_id, positions, [str(kind) for kind in ENTRIES])
    return _Orders(
        frozenset(row["deal"] for row in reported),
        frozenset(row["ticket"] for row in reported),
        {row["signal_id"]: row["holder"] for row in named},
        {row["ticket"]: row["holder"] for row in opened},
    )


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
