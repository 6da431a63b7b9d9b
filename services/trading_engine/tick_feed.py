"""Ticks from the bus, as batches each symbol's of which follow on each other, or say that they do not."""

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager

from google.protobuf.message import DecodeError
from nats.aio.client import Client
from nats.aio.msg import Msg
from suho.market.v1 import tick_pb2

from mesh.log import get_logger
from mesh.market import Batch, TickId
from mesh.market.codec import MalformedBatchError, decode
from mesh.market.subjects import tick_subject
from services.trading_engine.domain.continuity import Continuity

log = get_logger(__name__)

# Takes a symbol's new ticks; False: they do not follow on those before.
TakeTicks = Callable[[Batch, bool], None]


class TickFeed:
    """Hands each tick of one server on once and in order.

    A hole is not filled from the log: a strategy on ticks is about now, what it would make of old ticks is late, and
    its memory is rebuilt from new ones within seconds.
    """

    def __init__(self, server: str, take: TakeTicks) -> None:
        self._server = server
        self._take = take
        self._places: dict[str, Continuity] = {}
        self._broken: set[str] = set()

    @asynccontextmanager
    async def listening(self, bus: Client, symbols: Iterable[str]) -> AsyncIterator[None]:
        """Hear `symbols` (none: all of the server) until the end of the block."""
        async with AsyncExitStack() as stack:
            for symbol in list(symbols) or [""]:
                subscription = await bus.subscribe(tick_subject(self._server, symbol), cb=self._on_message)
                stack.push_async_callback(subscription.unsubscribe)
            yield

    async def _on_message(self, message: Msg) -> None:
        try:
            self.take(tick_pb2.TickBatchTwin.FromString(message.data))
        except (DecodeError, MalformedBatchError) as error:
            # Its ticks are then missing, which the next batch of the symbol shows.
            log.warning("unreadable ticks", subject=message.subject, because=str(error))

    def take(self, message: tick_pb2.TickBatchTwin) -> None:
        """Raises MalformedBatchError."""
        place = self._places.setdefault(message.symbol, Continuity())
        if message.HasField("quarantine"):
            last = message.quarantine.last
            if place.skip(TickId(last.time_msc, last.ordinal)):
                self._broken.add(message.symbol)
            return
        taken = place.follow(decode(message))
        if taken is not None:
            unbroken = taken.unbroken and message.symbol not in self._broken
            self._broken.discard(message.symbol)
            self._take(taken.batch, unbroken)
