"""Leaving an account's epoch: when its agents know more signals than the database does."""

from mesh.clock import unix_ms
from services.database.domain.order import Account, AccountRef
from services.database.postgres.accounts import load
from services.database.postgres.outbox import CHANNEL
from services.database.postgres.pool import Postgres

# Every signal of the account is written anew: of a million that takes minutes.
_TIMEOUT_S = 600


class Epochs:
    """Of the accounts table."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def begin(self, ref: AccountRef, left: int) -> Account:
        """A new epoch, every signal in its place; nothing when `left` is not in force (any more).

        Raises:
            MeshError: UNKNOWN_ACCOUNT.
        """
        async with self._postgres.transaction() as connection:
            row = await connection.fetchrow(
                "UPDATE accounts SET epoch = GREATEST(epoch + 1, $4), revision = revision + 1"
                " WHERE server = $1 AND login = $2 AND epoch = $3 RETURNING id, epoch",
                *ref,
                left,
                unix_ms(),
            )
            if row is not None:
                # What no ledger had when the copy was made may have been handed out since: none may take it for new.
                await connection.execute(
                    "UPDATE outbox SET epoch = $2, ledger = COALESCE(NULLIF(ledger, ''), '(not known)')"
                    " WHERE account_id = $1 AND epoch = $3",
                    *row,
                    left,
                    timeout=_TIMEOUT_S,
                )
                await connection.execute(
                    "UPDATE orders SET epoch = $2 WHERE account_id = $1 AND epoch = $3",
                    *row,
                    left,
                    timeout=_TIMEOUT_S,
                )
                await connection.execute(f"SELECT pg_notify('{CHANNEL}', $1)", str(row["id"]))
            return await load(connection, ref)
