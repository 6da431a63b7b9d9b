"""Every committed signal in `trading_signals`, each account's in order, once."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

from mesh.failpoint import failpoint
from mesh.log import get_logger
from mesh.waiting import backoff
from services.database.domain.order import AccountRef, Order, State, Times
from services.database.kafka.positions import Positions, Record
from services.database.kafka.topics import POSITIONS, SIGNALS, Cluster, partition_of
from services.database.kafka.writer import Writer
from services.database.postgres.signals import Place, Places
from services.database.servicers.order_messages import order_message

log = get_logger(__name__)

_CONTENT_TYPE = b'application/x-protobuf; messageType="suho.trading.v1.Order"'
_AT_ONCE = 500
# Commits are announced; this bounds how late one is whose announcement was lost.
_LOOK_AGAIN_S = 5.0


class Source(Protocol):
    async def after(self, places: Places, limit: int) -> list[Order]: ...
    async def lost(self, places: Places) -> list[AccountRef]: ...


class SignalsLostError(Exception):
    """Kafka holds signals that the database does not: one of them is not what it was."""


class SignalTopic:
    """Follows the outbox. Signals and the places that they reach are one transaction.

    Args:
        commits: An event that is set whenever something was committed, for as long as a block runs.
        transient: What is worth another try, from the stored places.
    """

    def __init__(
        self,
        source: Source,
        cluster: Cluster,
        writer: Writer,
        commits: Callable[[], AbstractContextManager[asyncio.Event]],
        transient: tuple[type[Exception], ...],
    ) -> None:
        self._source = source
        self._cluster = cluster
        self._writer = writer
        self._commits = commits
        self._transient = transient
        self.written = 0

    async def run(self) -> None:
        """Follow the outbox for ever.

        Raises:
            FencedError: another instance writes signals.
            UnfitTopicError, SignalsLostError: it can not go on; the message says what to do.
        """
        pauses = backoff()
        while True:
            before = self.written
            try:
                await self._follow()
            except self._transient as error:
                if self.written > before:
                    pauses = backoff()
                pause = next(pauses)
                log.warning(
                    "signals to Kafka interrupted",
                    because=str(error) or type(error).__name__,
                    retry_s=round(pause, 2),
                )
                await asyncio.sleep(pause)

    async def _follow(self) -> None:
        partitions = (await self._cluster.ensure(SIGNALS, POSITIONS))[SIGNALS.name]
        places = _places(await self._writer.open())
        await self._check(places)
        log.info("signals go to Kafka", accounts=len(places))
        with self._commits() as committed:
            while True:
                committed.clear()
                signals = await self._source.after(places, _AT_ONCE)
                if not signals:
                    await _either(committed, _LOOK_AGAIN_S)
                    continue
                reached = {signal.account: Place(signal.epoch, signal.seq, signal.signal_id) for signal in signals}
                await self._writer.write(partial(_records, signals, partitions), _positions(reached))
                failpoint("signals.written")
                places |= reached
                self.written += len(signals)

    async def _check(self, places: Places) -> None:
        lost = await self._source.lost(places)
        if lost:
            account = lost[0]
            raise SignalsLostError(
                f"account {account.login} on {account.server} has other signals in PostgreSQL than in Kafka up to"
                f" {places[account].epoch}/{places[account].seq}: PostgreSQL was restored from an older copy; bring"
                f" back the newer one, or delete topics {SIGNALS.name} and {POSITIONS.name} to begin anew"
            )


def as_committed(order: Order) -> Order:
    """The signal as it was when it was committed, whatever was reported since: the same bytes whenever it is sent."""
    return replace(
        order,
        state=State.PENDING,
        agent="",
        reason="",
        message="",
        ticket=0,
        deal=0,
        filled_volume=type(order.filled_volume)(0),
        filled_price=None,
        retcode=0,
        times=Times(submitted=order.times.submitted, committed=order.times.committed),
    )


def _records(signals: Sequence[Order], partitions: int) -> Iterable[Record]:
    for signal in signals:
        account = _name(signal.account)
        yield Record(
            SIGNALS.name,
            partition_of(account, partitions),
            account.encode(),
            order_message(as_committed(signal)).SerializeToString(deterministic=True),
            [
                ("content-type", _CONTENT_TYPE),
                ("signal-id", signal.signal_id.encode()),
                ("epoch", b"%d" % signal.epoch),
                ("seq", b"%d" % signal.seq),
            ],
        )


def _name(account: AccountRef) -> str:
    return f"{account.server}/{account.login}"


def _positions(reached: Places) -> Positions:
    return {_name(account): {**account._asdict(), **place._asdict()} for account, place in reached.items()}


def _places(positions: Positions) -> dict[AccountRef, Place]:
    return dict(map(_place, positions.values()))


def _place(found: Mapping[str, Any]) -> tuple[AccountRef, Place]:
    return AccountRef(found["server"], found["login"]), Place(found["epoch"], found["seq"], found["signal_id"])


async def _either(event: asyncio.Event, timeout_s: float) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        return
