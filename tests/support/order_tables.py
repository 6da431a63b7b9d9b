"""The tables of orders, for tests."""

from services.database.postgres.pool import Connection

# Those that refer to others come before them.
_TABLES = ("order_events", "outbox", "external_deals", "leases", "exposures", "reports", "orders", "accounts")


async def empty_order_tables(connection: Connection) -> None:
    """As TRUNCATE does, alone and in one transaction, but in a tenth of its time: it makes every file anew."""
    deletions = (f"DELETE FROM {table}" for table in _TABLES)
    await connection.execute("; ".join((f"LOCK TABLE {', '.join(_TABLES)}", *deletions)))
