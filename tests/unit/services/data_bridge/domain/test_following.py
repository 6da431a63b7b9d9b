"""One symbol's way to one subscriber."""

from dataclasses import dataclass, field
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.market import TickId
from services.data_bridge.domain.following import Following, Source, just_before
from services.data_bridge.domain.progress import Standing


def tick(number: int) -> TickId:
    return TickId(number, 0)


class Stretch(NamedTuple):
    """The ticks after number `prev` up to `last`; of a marker none."""

    prev: int
    last: int
    marker: bool = False


@dataclass
class Market:
    """A log of one symbol, the store behind it, and a bus that loses, repeats, and carries what the log refused."""

    log: list[Stretch] = field(default_factory=list)
    purged: int = 0
    stored: int = 0
    bus: list[Stretch] = field(default_factory=list)
    # Ticks that an agent sent to a bridge whose publish was refused: they can not turn out bad later.
    good_up_to: int = 0

    @property
    def end(self) -> int:
        return self.log[-1].last if self.log else 0

    def publish(self, ticks: int, marker: bool = False, heard: bool = True) -> None:
        stretch = Stretch(self.end, self.end + ticks, marker and self.end >= self.good_up_to)
        self.log.append(stretch)
        if heard:
            self.bus.append(stretch)

    def refuse(self, back: int, ticks: int, marker: bool) -> None:
        prev = max(0, self.end - back)
        stretch = Stretch(prev, prev + ticks, marker)
        if not marker:
            if any(other.marker and other.last > prev for other in self.log):
                return  # the same ticks are judged the same
            self.good_up_to = max(self.good_up_to, stretch.last)
        self.bus.append(stretch)

    def repeat(self, back: int) -> None:
        self.bus += self.log[-1 - back :][:1]

    def store(self, messages: int) -> None:
        self.stored = min(len(self.log), self.stored + messages)

    def purge(self) -> None:
        self.purged = self.stored

    def ticks(self, messages: int) -> list[int]:
        return [n for s in self.log[:messages] if not s.marker for n in range(s.prev + 1, s.last + 1)]


class Subscriber:
    """Does what a Subscription does, one small step at a time."""

    def __init__(self, market: Market, from_number: int | None, page: int) -> None:
        self.market = market
        self.page = page
        self.waiting: list[Stretch] = []
        self.got: list[int] = []
        self.following: Following | None = None
        if from_number is not None:
            self.following = Following(just_before(from_number), Source.STORE)

    def hear(self) -> None:
        if self.market.bus:
            stretch = self.market.bus.pop(0)
            self.following = self.following or Following(tick(stretch.prev))
            if self.following.keeps(tick(stretch.last)):
                self.waiting.append(stretch)

    def overflow(self) -> None:
        for stretch in self.waiting:
            assert self.following
            self.following.dropped(tick(stretch.last))
        self.waiting.clear()

    def take(self) -> None:
        """One live message, or, when none waits, a page of what is behind."""
        if self.following and self.waiting:
            stretch = self.waiting.pop(0)
            cursor = self.following.cursor
            prev, last = tick(stretch.prev), tick(stretch.last)
            self._hand_on(stretch, self.following.live(prev, last, trusted=not stretch.marker), cursor)
        elif self.following and self.following.source is Source.LOG:
            self._read_log(self.following)
        elif self.following and self.following.source is Source.STORE:
            self._read_store(self.following)

    def _read_log(self, following: Following) -> None:
        beyond = [s for s in self.market.log[self.market.purged :] if tick(s.last) > following.cursor]
        for stretch in beyond[: self.page]:
            cursor = following.cursor
            standing = following.logged(tick(stretch.prev), tick(stretch.last))
            if standing is Standing.AHEAD:
                return
            self._hand_on(stretch, standing, cursor)
        if len(beyond) <= self.page:
            following.log_ended()

    def _read_store(self, following: Following) -> None:
        beyond = [n for n in self.market.ticks(self.market.stored) if tick(n) > following.cursor]
        for number in beyond[: self.page]:
            following.stored(tick(number))
            self.got.append(number)
        if len(beyond) < self.page:
            following.store_ended()

    def _hand_on(self, stretch: Stretch, standing: Standing, cursor: TickId) -> None:
        if standing in (Standing.NEXT, Standing.OVERLAPS) and not stretch.marker:
            self.got += [n for n in range(stretch.prev + 1, stretch.last + 1) if tick(n) > cursor]


small = st.integers(1, 4)
steps = st.one_of(
    st.tuples(st.just("publish"), small, st.booleans(), st.booleans()),
    st.tuples(st.just("refuse"), st.integers(0, 9), small, st.booleans()),
    st.tuples(st.just("repeat"), st.integers(0, 5)),
    st.tuples(st.just("store"), small),
    st.tuples(st.just("purge")),
    st.tuples(st.just("hear")),
    st.tuples(st.just("hear")),
    st.tuples(st.just("take")),
    st.tuples(st.just("take")),
    st.tuples(st.just("overflow")),
)


@given(st.lists(steps, max_size=60), st.one_of(st.none(), st.integers(0, 20)), st.integers(0, 5), st.integers(2, 5))
def test_each_tick_comes_once_and_in_order(
    plan: list[tuple[str, int, bool, bool]], from_number: int | None, before: int, page: int
) -> None:
    """Whatever the bus repeats, loses or invents, however the log shrinks, however slowly the subscriber reads."""
    market = Market()
    for _ in range(before):
        market.publish(3, heard=False)
    subscriber = Subscriber(market, from_number, page)
    start = None if from_number is None else from_number - 1
    for name, *arguments in plan:
        if start is None and name == "hear" and market.bus:
            start = market.bus[0].prev
        getattr(subscriber if hasattr(subscriber, name) else market, name)(*arguments)
    # What the bus lost at last shows with the next tick; what was refused comes again.
    market.publish(max(1, market.good_up_to - market.end + 1))
    for _ in range(20 + len(plan) * 20):
        if start is None:
            start = market.bus[0].prev
        subscriber.hear()
        subscriber.take()
    assert subscriber.got == [n for n in market.ticks(len(market.log)) if n > start]
    assert subscriber.following
    assert subscriber.following.source is Source.LIVE


def test_what_is_nowhere_any_more_is_passed() -> None:
    """A subscriber does not wait for ticks that neither the log nor the store has."""
    following = Following(tick(5))
    assert following.live(tick(9), tick(10)) is Standing.AHEAD
    assert following.logged(tick(9), tick(10)) is Standing.AHEAD
    assert following.source is Source.STORE
    following.store_ended()
    assert following.logged(tick(9), tick(10)) is Standing.NEXT
    assert following.log_ended()


@pytest.mark.parametrize("looks", [20])
def test_what_the_log_refused_is_not_waited_for(looks: int) -> None:
    """A message that was heard and never stored holds up nothing for good."""
    following = Following(tick(5))
    following.live(tick(9), tick(10))
    assert [following.log_ended() for _ in range(looks)] == [False] * (looks - 1) + [True]
    assert following.live(tick(5), tick(6)) is Standing.NEXT
