"""Accounts and what they are exposed to."""

from collections import defaultdict

from mesh.clock import unix_ms
from mesh.errors import MeshError, Reason
from services.database.domain.order import (
    Account,
    AccountRef,
    Exposure,
    MarginMode,
    TradeMode,
    TradingState,
    initial_trading_state,
    may_be_set,
)
from services.database.postgres import rows
from services.database.postgres.pool import Connection, Postgres


class Accounts:
    """The accounts table and its exposures."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def upsert(self, ref: AccountRef, mode: TradeMode, margin: MarginMode | None = None) -> Account:
        """Make the account known. One that is new with live money, or turns to it, is HALTED until a person says go.

        `margin` None: as before; of a new account NETTING.
        """
        state = initial_trading_state(mode)
        async with self._postgres.transaction() as connection:
            await connection.execute(
                "INSERT INTO accounts (server, login, trade_mode, trading_state, state_reason, epoch, margin_mode)"
                " VALUES ($1, $2, $3, $4, $5, $6, COALESCE($7, 'NETTING')) ON CONFLICT (server, login) DO UPDATE SET"
                " trade_mode = EXCLUDED.trade_mode, revision = accounts.revision + 1,"
                " margin_mode = COALESCE($7, accounts.margin_mode),"
                " trading_state = CASE WHEN EXCLUDED.trade_mode = accounts.trade_mode OR EXCLUDED.trade_mode = 'DEMO'"
                "  THEN accounts.trading_state ELSE 'HALTED' END,"
                " state_reason = CASE WHEN EXCLUDED.trade_mode = accounts.trade_mode THEN accounts.state_reason"
                "  ELSE EXCLUDED.state_reason END"
                " WHERE accounts.trade_mode <> EXCLUDED.trade_mode OR accounts.margin_mode <> $7",
                *ref,
                mode,
                state,
                "not a demo account" if state is TradingState.HALTED else "",
                unix_ms(),
                margin,
            )
            return await load(connection, ref)

    async def set_trading_state(
        self, ref: AccountRef, state: TradingState, reason: str, allowed_on_pc: bool = False
    ) -> Account:
        """Raises MeshError UNKNOWN_ACCOUNT, or LIVE_MONEY_NOT_ALLOWED: that is for a person at the PC to allow."""
        async with self._postgres.transaction() as connection:
            # Held until the commit: it must not turn to live money between the question and the answer.
            await connection.execute("SELECT 1 FROM accounts WHERE server = $1 AND login = $2 FOR UPDATE", *ref)
            account = await load(connection, ref)
            if not may_be_set(account.trade_mode, state, allowed_on_pc):
                raise MeshError(
                    Reason.LIVE_MONEY_NOT_ALLOWED,
                    f"account {ref.login} on {ref.server} is no demo account: it stays HALTED until a person allows"
                    f" trading on the PC beside its terminal (`suho agent allow-live {ref.login}`) and the agent there"
                    " is connected and halts nothing",
                )
            await connection.execute(
                "UPDATE accounts SET trading_state = $3, state_reason = $4, revision = revision + 1"
                " WHERE server = $1 AND login = $2",
                *ref,
                state,
                reason,
            )
            return await load(connection, ref)

    async def get(self, ref: AccountRef) -> Account:
        """Raises MeshError UNKNOWN_ACCOUNT."""
        async with self._postgres.snapshot() as connection:
            return await load(connection, ref)

    async def list(self) -> list[Account]:
        async with self._postgres.snapshot() as connection:
            found = await connection.fetch(f"{rows.SELECT_ACCOUNTS} ORDER BY server, login")
            exposures: dict[int, list[Exposure]] = defaultdict(list)
            for row in await connection.fetch("SELECT * FROM exposures ORDER BY symbol, strategy"):
                exposures[row["account_id"]].append(rows.exposure(row))
        return [rows.account(row, tuple(exposures[row["id"]])) for row in found]


async def load(connection: Connection, ref: AccountRef) -> Account:
    """The account with its exposures.

    Raises:
        MeshError: UNKNOWN_ACCOUNT.
    """
    row = await connection.fetchrow(f"{rows.SELECT_ACCOUNTS} WHERE server = $1 AND login = $2", *ref)
    if row is None:
        raise unknown_account(ref)
    exposures = await connection.fetch(
        "SELECT * FROM exposures WHERE account_id = $1 ORDER BY symbol, strategy", row["id"]
    )
    return rows.account(row, tuple(rows.exposure(exposure) for exposure in exposures))


def unknown_account(ref: AccountRef) -> MeshError:
    return MeshError(
        Reason.UNKNOWN_ACCOUNT,
        f"account {ref.login} on {ref.server} is not known; it becomes known when its agent connects",
        server=ref.server,
        login=ref.login,
    )
