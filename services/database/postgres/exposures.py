"""What the orders and deals of an account add up to. Whoever moves it holds the account's row lock."""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from mesh.orders import Kind
from services.database.domain.order import Account, AccountRef, Exposure, MarginMode, Order
from services.database.domain.order_states import ExposureChange, closing_shares, exposure_change
from services.database.postgres import rows
from services.database.postgres.pool import Connection

_NOTHING = ExposureChange(Decimal(0), 0, 0)

# Held until the transaction ends, and in one order everywhere, so that two can not wait for each other.
_LOCK = (
    f"{rows.SELECT_ACCOUNTS} WHERE (a.server, a.login) IN (SELECT * FROM unnest($1::text[], $2::bigint[]))"
    " ORDER BY a.id FOR UPDATE OF a"
)
# A statement of its own: one that waits for the lock still sees everything else as it was before.
_HELD = "SELECT * FROM exposures WHERE account_id = ANY($1) ORDER BY symbol, strategy"
_WRITE = (
    "WITH moved AS (UPDATE accounts SET revision = revision + 1 WHERE id = $1)"
    " INSERT INTO exposures (account_id, symbol, strategy, net_volume, open_orders, unknown_orders)"
    " SELECT $1, * FROM unnest($2::text[], $3::text[], $4::numeric[], $5::int[], $6::int[])"
    " ON CONFLICT (account_id, symbol, strategy) DO UPDATE SET net_volume = EXCLUDED.net_volume,"
    " open_orders = EXCLUDED.open_orders, unknown_orders = EXCLUDED.unknown_orders"
)


class Exposures:
    """One locked account's, gathered and then written at once.

    Args:
        row: The account's, as `rows.SELECT_ACCOUNTS` finds it.
    """

    def __init__(self, row: Any, held: Sequence[Exposure]) -> None:
        self.account_id: int = row["id"]
        self._row = dict(row)
        self._margin = MarginMode(row["margin_mode"])
        self._held = {(one.symbol, one.strategy): one for one in held}
        self._changed: set[tuple[str, str]] = set()

    @property
    def account(self) -> Account:
        """As it stands, with what was gathered and written."""
        return rows.account(self._row, tuple(self._held[key] for key in sorted(self._held)))

    def move(self, before: Order, after: Order) -> None:
        """An order's report."""
        change = exposure_change(before, after)
        if after.kind is Kind.CLOSE:
            self.close(after.symbol, after.holder, change.net_volume)
            change = change._replace(net_volume=Decimal(0))
        self._add(after.symbol, after.holder, change)

    def open(self, symbol: str, holder: str, signed_volume: Decimal) -> None:
        """A position that counts from now on."""
        self._add(symbol, holder, _NOTHING._replace(net_volume=signed_volume))

    def close(self, symbol: str, holder: str, signed_volume: Decimal) -> None:
        """A deal on a position that `holder` opened: on a netting account others may have a part of it."""
        shares = {holder: signed_volume}
        if self._margin is not MarginMode.HEDGING:
            held = {strategy: one.net_volume for (of, strategy), one in self._held.items() if of == symbol}
            shares = dict(closing_shares(held, holder, signed_volume))
        for strategy, share in shares.items():
            self._add(symbol, strategy, _NOTHING._replace(net_volume=share))

    async def write(self, connection: Connection) -> None:
        """What was gathered; the account's revision moves with it in any case."""
        changed = [self._held[key] for key in sorted(self._changed)]
        await connection.execute(
            _WRITE,
            self.account_id,
            [one.symbol for one in changed],
            [one.strategy for one in changed],
            [one.net_volume for one in changed],
            [one.open_orders for one in changed],
            [one.unknown_orders for one in changed],
        )
        self._changed.clear()
        self._row["revision"] += 1

    def _add(self, symbol: str, strategy: str, change: ExposureChange) -> None:
        if not any(change):
            return
        key = (symbol, strategy)
        held = self._held.get(key) or Exposure(symbol, strategy, Decimal(0), 0, 0)
        self._changed.add(key)
        self._held[key] = replace(
            held,
            net_volume=held.net_volume + change.net_volume,
            open_orders=held.open_orders + change.open_orders,
            unknown_orders=held.unknown_orders + change.unknown_orders,
        )


async def lock_exposures(connection: Connection, accounts: Sequence[AccountRef]) -> dict[AccountRef, Exposures]:
    """Of those that are known; nobody else moves them before the transaction ends."""
    found = await connection.fetch(_LOCK, [ref.server for ref in accounts], [ref.login for ref in accounts])
    held = await connection.fetch(_HELD, [row["id"] for row in found])
    return {
        AccountRef(row["server"], row["login"]): Exposures(
            row, [rows.exposure(one) for one in held if one["account_id"] == row["id"]]
        )
        for row in found
    }
