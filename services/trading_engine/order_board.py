"""Who waits for news of an order hears it here."""

import asyncio
from collections.abc import AsyncIterator, Iterable

from suho.trading.v1 import order_pb2

from services.trading_engine.database import Database, DatabaseAwayError
from services.trading_engine.messages import still_open

News = asyncio.Queue[order_pb2.Order]

# Reports may come to another engine: what nobody tells is asked for this often.
_LOOK_AGAIN_S = 1.0


class OrderBoard:
    """Tells followers what the lanes of this engine learn, and looks in the database for the rest."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._followers: dict[str, set[News]] = {}

    def publish(self, orders: Iterable[order_pb2.Order]) -> None:
        for order in orders:
            for news in self._followers.get(order.signal_id, ()):
                news.put_nowait(order)

    async def follow(self, signal_id: str) -> AsyncIterator[order_pb2.Order]:
        """The order as it stands, then at each change; ends when nothing more can come.

        Raises:
            MeshError: UNKNOWN_ORDER, or the database is away at the beginning; later it is waited for.
        """
        news: News = asyncio.Queue()
        followers = self._followers.setdefault(signal_id, set())
        followers.add(news)
        try:
            order = await self._database.order(signal_id)
            yield order
            while still_open(order):
                newer = await self._next(signal_id, news)
                if newer is not None and newer != order and _not_older(newer, order):
                    order = newer
                    yield order
        finally:
            followers.discard(news)
            if not followers:
                self._followers.pop(signal_id, None)

    async def _next(self, signal_id: str, news: News) -> order_pb2.Order | None:
        try:
            async with asyncio.timeout(_LOOK_AGAIN_S):
                return await news.get()
        except TimeoutError:
            pass
        try:
            return await self._database.order(signal_id)
        except DatabaseAwayError:
            return None


def _not_older(newer: order_pb2.Order, order: order_pb2.Order) -> bool:
    """What was told and what was looked up may cross on their way."""
    return newer.times.recorded_unix_ns >= order.times.recorded_unix_ns
