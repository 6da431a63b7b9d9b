"""What the orders and deals of an account add up to. Whoever moves it holds the account's row lock."""

from collections import defaultdict
from decimal import Decimal

from mesh.orders import Kind
from services.database.domain.order import MarginMode, Order
from services.database.domain.order_states import ExposureChange, closing_shares, exposure_change
from services.database.postgres.pool import Connection

_NOTHING = ExposureChange(Decimal(0), 0, 0)

_ADD = (
    "UPDATE exposures SET net_volume = net_volume + $4, open_orders = open_orders + $5,"
    " unknown_orders = unknown_orders + $6 WHERE account_id = $1 AND symbol = $2 AND strategy = $3"
)
_INSERT = "INSERT INTO exposures VALUES ($1, $2, $3, $4, $5, $6)"


class Exposures:
    """One account's, gathered and then written at once.

    Args:
        held: Net lots by (symbol, strategy), as stored.
    """

    def __init__(self, account_id: int, margin: MarginMode, held: dict[tuple[str, str], Decimal]) -> None:
        self.account_id = account_id
        self._margin = margin
        self._held = held
        self._stored = frozenset(held)
        self._changes: dict[tuple[str, str], ExposureChange] = defaultdict(lambda: _NOTHING)

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
            held = {strategy: net for (of, strategy), net in self._held.items() if of == symbol}
            shares = dict(closing_shares(held, holder, signed_volume))
        for strategy, share in shares.items():
            self._add(symbol, strategy, _NOTHING._replace(net_volume=share))

    async def write(self, connection: Connection) -> None:
        """What was gathered; the account's revision moves with it in any case."""
        await connection.execute("UPDATE accounts SET revision = revision + 1 WHERE id = $1", self.account_id)
        changes = {key: change for key, change in self._changes.items() if any(change)}
        for statement, keys in ((_ADD, changes.keys() & self._stored), (_INSERT, changes.keys() - self._stored)):
            if keys:
                await connection.executemany(statement, [(self.account_id, *key, *changes[key]) for key in keys])

    def _add(self, symbol: str, strategy: str, change: ExposureChange) -> None:
        key = (symbol, strategy)
        was = self._changes[key]
        self._changes[key] = ExposureChange(
            was.net_volume + change.net_volume,
            was.open_orders + change.open_orders,
            was.unknown_orders + change.unknown_orders,
        )
        self._held[key] = self._held.get(key, Decimal(0)) + change.net_volume


async def load_exposures(connection: Connection, account_id: int, margin: MarginMode) -> Exposures:
    found = await connection.fetch(
        "SELECT symbol, strategy, net_volume FROM exposures WHERE account_id = $1", account_id
    )
    return Exposures(account_id, margin, {(row["symbol"], row["strategy"]): row["net_volume"] for row in found})
