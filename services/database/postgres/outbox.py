"""The outbox: signals in their account's order, those there are and then each as it is committed."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from mesh.draining import Draining
from mesh.errors import MeshError, Reason
from mesh.log import get_logger
from mesh.waiting import backoff
from services.database.domain.order import AccountRef, Order
from services.database.postgres import rows
from services.database.postgres.accounts import unknown_account
from services.database.postgres.heartbeat import open_alone, until_lost
from services.database.postgres.pool import UNAVAILABLE, Connection, Postgres

log = get_logger(__name__)

# Where commits are announced, by account id.
CHANNEL = "suho_outbox"
# What is announced of an account whose signal goes down by itself.
HANDED_DOWN = ":handed down"
_PAGE = 100
# So long after the commit it is looked whether it did; meanwhile more such signals gather.
_HANDED_DOWN_S = 0.05
# A notification can only be late, not lost, while its connection lives; this bounds how late.
_LOOK_AGAIN_S = 5.0
# No account has this id.
_ANY = 0


@dataclass(frozen=True, slots=True)
class OutboxEntry:
    order: Order
    redelivered: bool


_ENTRIES = (
    "SELECT q.ledger, o.*, a.server, a.login FROM outbox q JOIN orders o USING (signal_id)"
    " JOIN accounts a ON a.id = q.account_id"
    " WHERE q.account_id = $1 AND q.epoch = $2 AND q.seq > $3 AND ($4::bigint = 0 OR q.seq <= $4)"
    " ORDER BY q.seq LIMIT $5"
)


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
                async with open_alone(self._postgres.dsn, CHANNEL) as connection:
                    await connection.add_listener(CHANNEL, lambda *heard: self._heard(heard[3]))
                    self._wake(None)  # for what was committed while nobody listened
                    pauses = backoff()
                    await until_lost(connection)
                log.warning("outbox notifications interrupted", because="the connection was lost")
            except UNAVAILABLE as error:
                log.warning("outbox notifications interrupted", because=type(error).__name__)
            await asyncio.sleep(next(pauses))

    async def end_watches(self) -> None:
        """End every watch whenever this service drains: one that stops waits for its calls. For ever."""

        async def look() -> None:
            self._wake(None)

        await self._draining.each_time(look)

    def _heard(self, payload: str) -> None:
        account_id = int(payload.removesuffix(HANDED_DOWN))
        if payload.endswith(HANDED_DOWN):
            self._wake(_ANY)
            asyncio.get_running_loop().call_later(_HANDED_DOWN_S, self._wake, account_id)
        else:
            self._wake(account_id)

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

    async def watch(
        self, ref: AccountRef, epoch: int, after_seq: int, to_seq: int, ledger: str
    ) -> AsyncIterator[list[OutboxEntry]]:
        """Entries after `after_seq` in order, up to `to_seq` (0: for ever), as handed to `ledger`.

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
                entries = await self._take(account_id, epoch, after_seq, to_seq, ledger)
                if entries:
                    after_seq = entries[-1].order.seq
                    yield entries
                else:
                    await self._account(ref, epoch)
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

    async def _take(self, account_id: int, epoch: int, after_seq: int, to_seq: int, ledger: str) -> list[OutboxEntry]:
        place = (account_id, epoch, after_seq, to_seq, _PAGE)
        async with self._postgres.connection() as connection:
            found = await connection.fetch(_ENTRIES, *place)
            if not all(row["ledger"] for row in found):
                found = await _mark(connection, place, ledger)
        return [OutboxEntry(rows.order(row), _redelivered(row, ledger)) for row in found]


async def _mark(connection: Connection, place: tuple[int, ...], ledger: str) -> list[Any]:
    """The entries as they were; what was with none is with `ledger` from now on, durably: else a signal that was
    executed could be handed to another one as a new one. The first ledger stays: a later one may be cut off before it
    hears, and is told again that another may have executed it."""
    async with connection.transaction():
        found: list[Any] = await connection.fetch(f"{_ENTRIES} FOR UPDATE OF q", *place)
        signals = [row["signal_id"] for row in found if not row["ledger"]]
        await connection.execute("UPDATE outbox SET ledger = $2 WHERE signal_id = ANY($1)", signals, ledger)
        await connection.execute(
            "UPDATE orders o SET agent = l.agent FROM leases l"  # only the first one may have executed it
            " WHERE l.account_id = $2 AND o.signal_id = ANY($1) AND o.agent = ''",
            signals,
            place[0],
        )
    return found


def _redelivered(row: Any, ledger: str) -> bool:
    """Another ledger had it, or one says so itself."""
    return row["ledger"] not in ("", ledger) or row["received_unix_ns"] > 0


async def _either(event: asyncio.Event, timeout_s: float) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        return
