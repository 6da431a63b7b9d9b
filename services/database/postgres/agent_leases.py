"""Which agent may execute for an account, and through which engine; by PostgreSQL's clock."""

from dataclasses import astuple, dataclass
from datetime import timedelta

from mesh.errors import MeshError, Reason
from services.database.domain.order import Account, AccountRef
from services.database.postgres.accounts import load, unknown_account
from services.database.postgres.pool import Connection, Postgres

_ACQUIRE = (
    "INSERT INTO leases AS l (account_id, agent, ledger, engine, until, grant_id)"
    " SELECT id, $3, $4, $5, clock_timestamp() + $6, $7 FROM accounts WHERE server = $1 AND login = $2"
    " ON CONFLICT (account_id)"
    " DO UPDATE SET agent = $3, ledger = $4, engine = $5, until = clock_timestamp() + $6, grant_id = $7"
    " WHERE (l.agent, l.ledger) = ($3, $4) OR l.until <= clock_timestamp()"
)
_RENEW = (
    "UPDATE leases l SET until = clock_timestamp() + $6 FROM accounts a WHERE a.id = l.account_id"
    " AND a.server = $1 AND a.login = $2 AND (l.agent, l.ledger, l.engine) = ($3, $4, $5)"
)
_RELEASE = (
    "UPDATE leases l SET until = clock_timestamp() FROM accounts a WHERE a.id = l.account_id"
    " AND a.server = $1 AND a.login = $2 AND l.grant_id = $3"
)
_NAMESAKE = ", with another ledger: is it another PC of the same name? Give each an instance name of its own"


@dataclass(frozen=True, slots=True)
class Holder:
    """An agent with its ledger (two PCs may bear one name), and the engine that has its stream."""

    agent: str
    ledger: str
    engine: str


class AgentLeases:
    """The leases table. It is locked apart from the accounts: no commit waits for a renewal."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def acquire(self, ref: AccountRef, holder: Holder, grant_id: str, valid_for_ms: int) -> Account:
        """Hold it for `valid_for_ms` from now; a newer stream of the same agent takes it over from any engine.

        Raises:
            MeshError: UNKNOWN_ACCOUNT; LEASE_HELD, with `agent`, `engine` and for how many `ms` still.
        """
        return await self._hold(_ACQUIRE, ref, holder, timedelta(milliseconds=valid_for_ms), grant_id)

    async def renew(self, ref: AccountRef, holder: Holder, valid_for_ms: int) -> Account:
        """Hold it for `valid_for_ms` from now, if this engine has it for this agent; even if it lapsed meanwhile.

        Raises as `acquire`.
        """
        return await self._hold(_RENEW, ref, holder, timedelta(milliseconds=valid_for_ms))

    async def release(self, ref: AccountRef, grant_id: str) -> None:
        """Give it up; nothing when it is held with another grant."""
        async with self._postgres.connection() as connection:
            await connection.execute(_RELEASE, *ref, grant_id)

    async def _hold(self, statement: str, ref: AccountRef, holder: Holder, *values: timedelta | str) -> Account:
        async with self._postgres.connection() as connection:
            done = await connection.execute(statement, *ref, *astuple(holder), *values)
            if done.endswith(" 0"):
                raise await _held(connection, ref, holder)
            return await load(connection, ref)


async def _held(connection: Connection, ref: AccountRef, asking: Holder) -> MeshError:
    row = await connection.fetchrow(
        "SELECT l.agent, l.ledger, l.engine, EXTRACT(EPOCH FROM l.until - clock_timestamp())::float * 1000 AS ms"
        " FROM accounts a LEFT JOIN leases l ON l.account_id = a.id WHERE server = $1 AND login = $2",
        *ref,
    )
    if row is None:
        return unknown_account(ref)
    return MeshError(
        Reason.LEASE_HELD,
        f"agent {row['agent']!r} executes for account {ref.login} on {ref.server}, through engine {row['engine']!r}"
        + (_NAMESAKE if row["agent"] == asking.agent and row["ledger"] != asking.ledger else ""),
        agent=row["agent"] or "",
        engine=row["engine"] or "",
        ms=max(0, round(row["ms"] or 0)),
    )
