"""Looking at a running platform: once in a while, until it is fed, and at the very end exactly."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from compose.embedded.facts import Facts, Feed, Orders, Stored, UnansweredError
from compose.embedded.summary import all_stored

# Counting millions of rows costs the machine that it measures: never more than a quarter of the time.
_REST = 3.0
_GIVE_UP_S = 5.0
_LONGEST_SETTLING_S = 60.0


@dataclass(frozen=True)
class Snapshot:
    """The platform at one moment; the feeds were asked first, so what is stored may be ahead of them."""

    feeds: Mapping[str, Feed] = field(default_factory=dict)
    stored: Mapping[str, Stored] = field(default_factory=dict)
    orders: Orders = field(default_factory=Orders)
    at_s: float = 0.0

    @property
    def accounted(self) -> int:
        return sum(stored.accounted for stored in self.stored.values())

    @property
    def fed(self) -> bool:
        """Every feed ended, every tick stored, no order open."""
        ended = bool(self.feeds) and all(feed.ended for feed in self.feeds.values())
        return ended and all_stored(self.feeds, self.stored) and not self.orders.open


async def take(facts: Facts) -> Snapshot:
    """Raises UnansweredError."""
    feeds = await facts.feeds()
    stored = await facts.stored()
    return Snapshot(feeds, stored, await facts.orders(), time.monotonic())


class Watch:
    """The newest snapshot, and the one before it."""

    def __init__(self, facts: Facts, every_s: float) -> None:
        self._facts = facts
        self._every_s = every_s
        self.newest = Snapshot()
        self.previous = Snapshot()
        # Why the newest snapshot is not of now; empty: it is.
        self.unanswered = ""
        self._news = asyncio.Event()

    async def run(self) -> None:
        """Look again and again."""
        while True:
            began = time.monotonic()
            try:
                snapshot = await take(self._facts)
            except UnansweredError as error:
                self.unanswered = str(error)
            else:
                self.previous, self.newest, self.unanswered = self.newest, snapshot, ""
                self._news.set()
                self._news = asyncio.Event()
            took = time.monotonic() - began
            await asyncio.sleep(max(self._every_s - took, took * _REST))

    async def next(self) -> Snapshot:
        """The next one."""
        await self._news.wait()
        return self.newest

    async def until_fed(self) -> None:
        while not self.newest.fed:
            await self.next()


async def settled(facts: Facts) -> Snapshot:
    """The platform when what was sent has arrived.

    A live feed never pauses for us, so each symbol is taken at a moment of its own at which nothing of it was under
    way: as many accounted for as were sent both before and after. A symbol that finds none, because ticks are lost or
    come without a gap, is taken as it was last seen.
    """
    exact: dict[str, tuple[Feed, Stored]] = {}
    last, progressed, most = Snapshot(), time.monotonic(), -1
    deadline = progressed + _LONGEST_SETTLING_S
    while time.monotonic() < min(progressed + _GIVE_UP_S, deadline):
        try:
            last = await take(facts)
            after = await facts.feeds()
        except UnansweredError:
            await asyncio.sleep(0.1)
            continue
        for symbol, feed in last.feeds.items():
            stored = last.stored.get(symbol, Stored())
            if stored.accounted == feed.sent == after[symbol].sent:
                exact[symbol] = (feed, stored)
        if last.feeds and last.feeds.keys() <= exact.keys():
            break
        if not all_stored(last.feeds, last.stored) and last.accounted > most:
            most, progressed = last.accounted, time.monotonic()
        await asyncio.sleep(0.02)
    return Snapshot(
        {**last.feeds, **{symbol: feed for symbol, (feed, _) in exact.items()}},
        {**last.stored, **{symbol: stored for symbol, (_, stored) in exact.items()}},
        last.orders,
        last.at_s,
    )
