"""Looking at a running platform: once in a while, until it is fed, and at the very end exactly."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from compose.embedded.facts import Facts, Feed, Orders, Percentiles, Stored, UnansweredError
from compose.embedded.summary import all_stored

# Counting costs the machine that it measures: never more than a quarter of the time.
_REST = 3.0
_GIVE_UP_S = 5.0
_LONGEST_SETTLING_S = 60.0
_RETRY_S = 0.1


@dataclass(frozen=True)
class Snapshot:
    """The platform at one moment; the feeds were asked first, so what is stored may be ahead of them."""

    feeds: Mapping[str, Feed] = field(default_factory=dict)
    stored: Mapping[str, Stored] = field(default_factory=dict)
    orders: Orders = field(default_factory=Orders)
    at_s: float = 0.0
    # Asked at the end only.
    tick_stored_ms: Percentiles = field(default_factory=Percentiles)
    incidents: Mapping[str, int] = field(default_factory=dict)

    @property
    def accounted(self) -> int:
        return sum(stored.accounted for stored in self.stored.values())

    @property
    def fed(self) -> bool:
        """Every feed ended, every tick stored, no order open."""
        return self.settled and all(feed.ended for feed in self.feeds.values())

    @property
    def settled(self) -> bool:
        """Every tick sent so far stored, no order open."""
        return bool(self.feeds) and all_stored(self.feeds, self.stored) and not self.orders.open


async def take(facts: Facts, exact: bool) -> Snapshot:
    """Raises UnansweredError."""
    feeds = await facts.feeds()
    stored = await facts.stored(exact)
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
        self._resting = Snapshot()
        self._flowing = False
        self._news = asyncio.Event()

    async def run(self) -> None:
        """Look again and again."""
        while True:
            began = time.monotonic()
            try:
                snapshot = await take(self._facts, exact=False)
            except UnansweredError as error:
                self.unanswered = str(error)
            else:
                self.note(snapshot)
                self.unanswered = ""
                self._news.set()
                self._news = asyncio.Event()
            took = time.monotonic() - began
            await asyncio.sleep(max(self._every_s - took, took * _REST))

    def note(self, snapshot: Snapshot) -> None:
        """Take a new look in; the last one before anything came is where the flow began."""
        self.previous, self.newest = self.newest, snapshot
        self._flowing = self._flowing or (bool(self._resting.at_s) and self.newest.accounted > self._resting.accounted)
        if not self._flowing:
            self._resting = self.newest

    @property
    def ticks_per_s(self) -> float:
        """Stored, from when the first came to the newest look."""
        seconds = self.newest.at_s - self._resting.at_s
        return (self.newest.accounted - self._resting.accounted) / seconds if self._flowing and seconds > 0 else 0.0

    async def next(self) -> Snapshot:
        """The next one."""
        await self._news.wait()
        return self.newest

    async def until_fed(self) -> None:
        """The quick counts take repeated rows for ticks, so the exact ones have the last word."""
        while not (self.newest.fed and await self._exactly_fed()):
            await self.next()

    async def _exactly_fed(self) -> bool:
        try:
            return (await take(self._facts, exact=True)).fed
        except UnansweredError:
            return False


async def settled(facts: Facts, give_up_s: float = _GIVE_UP_S) -> Snapshot:
    """The platform when what was sent has arrived, or when nothing more has come for `give_up_s`.

    The twin holds its feeds for it, so that what was sent and what is stored can be compared to the tick.
    """
    last = Snapshot()
    progressed = time.monotonic()
    deadline = progressed + _LONGEST_SETTLING_S
    while time.monotonic() < min(progressed + give_up_s, deadline):
        try:
            feeds = await facts.hold_feeds()
            snapshot = Snapshot(
                feeds,
                await facts.stored(exact=True),
                await facts.orders(),
                time.monotonic(),
                await facts.tick_stored_ms(),
                await facts.incidents(),
            )
        except UnansweredError:
            progressed = time.monotonic()  # who is starting again has its time
        else:
            if snapshot.accounted != last.accounted:
                progressed = time.monotonic()
            last = snapshot
            if last.settled:
                break
        await asyncio.sleep(_RETRY_S)
    return last
