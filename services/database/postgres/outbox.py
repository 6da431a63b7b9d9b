"""The outbox: signals in their account's order, those there are and then each as it is committed."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import asyncpg

from mesh.draining import Draining
from mesh.errors import MeshError, Reason
from mesh.log import get_logger
from mesh.waiting import backoff
from services.database.domain.order import AccountRef, Order
from services.database.postgres import rows
from services.database.postgres.accounts import unknown_account
from services.database.postgres.pool import UNAVAILABLE, Connection, Postgres

log = get_logger(__name__)

# Where commits are announced, by account id.
CHANNEL = "suho_outbox"
_PAGE = 100
# A notification can only be late, not lost, while its connection lives; this bounds how late.
_LOOK_AGAIN_S = 5.0
# No account has this id.
_ANY = 0


@dataclass(frozen=True, slots=True)
class OutboxEntry:
    order: Order
    redelivered: bool


class Outbox:
    """Watches of the outbox, woken by one LISTEN connection. Run `listen` and `end_watches` beside them."""

    def __init__(self, postgres: Postgres, draining: Draining) -> None:
        self._postgres = postgres
        self._draining = draining
        self._watches: dict[asyncio.Event, int] = {}

    async def listen(self) -> None:
        """Hear of commits, for ever; a lost connection is opened again."""
        pauses = backoff()
        while True:
            try:
                connection = await asyncpg.connect(self._postgres.dsn, timeout=5)
                await self._hear(connection)
                pauses = backoff()
            except UNAVAILABLE as error:
                log.warning("outbox notifications interrupted", because=type(error).__name__)
            await asyncio.sleep(next(pauses))

    async def _hear(self, connection: Connection) -> None:
        ended = asyncio.Event()
        try:
            connection.add_termination_listener(lambda _: ended.set())
            await connection.add_listener(CHANNEL, lambda *heard: self._wake(int(heard[3])))
            self._wake(None)  # for what was committed while nobody listened
            await ended.wait()
        finally:
            connection.terminate()

    async def end_watches(self) -> None:
        """End every watch whenever this service drains: one that stops waits for its calls. For ever."""

        async def look() -> None:
            self._wake(None)

        await self._draining.each_time(look)

    def _wake(self, account_id: int | None) -> None:
        for event, watched in self._watches.items():
            if account_id is None or watched in (_ANY, account_id):
                event.set()

    @contextmanager
    def commits(self) -> Iterator[asyncio.Event]:
        """An event that is set whenever a signal of any account may have been committed."""
        woken = asyncio.Event()
        self._watches[woken] = _ANY
        try:
            yield woken
        finally:
            del self._watches[woken]

    async def watch(self, ref: AccountRef, epoch: int, after_seq: int, to_seq: int) -> AsyncIterator[list[OutboxEntry]]:
        """Entries after `after_seq` in order, up to `to_seq` (0: for ever).

        Raises:
            MeshError: UNKNOWN_ACCOUNT, EPOCH_SUPERSEDED, SHUTTING_DOWN.
        """
        account_id = await self._account(ref, epoch)
        woken = asyncio.Event()
        self._watches[woken] = account_id
        try:
            while not to_seq or after_seq < to_seq:
                if self._draining.is_set():
                    raise MeshError(Reason.SHUTTING_DOWN, "this database service drains; watch through another")
                woken.clear()
                entries = await self._take(account_id, epoch, after_seq, to_seq)
                if entries:
                    after_seq = entries[-1].order.seq
                    yield entries
                else:
                    await _either(woken, _LOOK_AGAIN_S)
        finally:
            del self._watches[woken]

    async def _account(self, ref: AccountRef, epoch: int) -> int:
        async with self._postgres.connection() as connection:
            row = await connection.fetchrow("SELECT id, epoch FROM accounts WHERE server = $1 AND login = $2", *ref)
        if row is None:
            raise unknown_account(ref)
        if row["epoch"] != epoch:
            raise MeshError(
                Reason.EPOCH_SUPERSEDED,
                f"account {ref.login} counts in epoch {row['epoch']}, not {epoch}; read the account again",
                epoch=row["epoch"],
            )
        return int(row["id"])

    async def _take(self, account_id: int, epoch: int, after_seq: int, to_seq: int) -> list[OutboxEntry]:
        async with self._postgres.transaction() as connection:
            # That an entry was handed out is a hint to the reader, not worth an fsync on a signal's way.
            await connection.execute("SET LOCAL synchronous_commit TO off")
            found = await connection.fetch(
                "WITH taken AS (UPDATE outbox SET delivered = delivered + 1 WHERE (account_id, epoch, seq) IN"
                " (SELECT account_id, epoch, seq FROM outbox WHERE account_id = $1 AND epoch = $2 AND seq > $3"
                "  AND ($4::bigint = 0 OR seq <= $4) ORDER BY seq LIMIT $5)"
                " RETURNING signal_id, delivered)"
                f" SELECT taken.delivered, found.* FROM taken JOIN ({rows.SELECT_ORDERS}) found USING (signal_id)"
                " ORDER BY found.seq",
                account_id,
                epoch,
                after_seq,
                to_seq,
                _PAGE,
            )
        return [OutboxEntry(rows.order(row), row["delivered"] > 1) for row in found]


async def _either(event: asyncio.Event, timeout_s: float) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        return
