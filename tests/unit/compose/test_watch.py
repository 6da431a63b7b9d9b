"""The account that is taken of a platform at its end."""

from collections.abc import Iterator
from typing import Any

from compose.embedded.facts import Feed, Orders, Percentiles, Stored, UnansweredError
from compose.embedded.summary import Outcome
from compose.embedded.watch import Snapshot, Watch, settled


class Scripted:
    """Facts whose feeds and stored counts are told beforehand; the last of each stays."""

    def __init__(self, sent: list[int], accounted: list[int], failures: int = 0) -> None:
        self._sent = _then_the_last(sent)
        self._accounted = _then_the_last(accounted)
        self._failures = failures

    async def hold_feeds(self) -> dict[str, Feed]:
        if self._failures:
            self._failures -= 1
            raise UnansweredError("starting again")
        return {"A": Feed(next(self._sent), None, 5, False)}

    async def stored(self, exact: bool) -> dict[str, Stored]:
        count = next(self._accounted)
        return {"A": Stored(stored=count, distinct=count, raw=count)}

    async def orders(self) -> Orders:
        return Orders({"FILLED": 1})

    async def incidents(self) -> dict[str, int]:
        return {}

    async def tick_stored_ms(self) -> Percentiles:
        return Percentiles(1.0, 2.0)


def _then_the_last(values: list[int]) -> Iterator[int]:
    yield from values
    while True:
        yield values[-1]


async def _account(facts: Any, give_up_s: float = 20) -> tuple[int, int, int]:
    """Sent, stored, lost."""
    last = await settled(facts, give_up_s)
    run = Outcome(1, 1, last.feeds, last.stored, last.orders, last.orders.executed_ms, 0)
    symbol = run.to_json()["symbols"]["A"]
    return symbol["sent"], symbol["stored"], symbol["lost"]


async def test_it_waits_for_what_is_under_way() -> None:
    """Ticks that arrive a little later are not lost."""
    assert await _account(Scripted(sent=[10], accounted=[7, 9, 10])) == (10, 10, 0)


async def test_it_waits_for_who_is_starting_again() -> None:
    """A program that does not answer for a moment is asked again."""
    assert await _account(Scripted(sent=[10], accounted=[10], failures=1)) == (10, 10, 0)


async def test_a_loss_stays_a_loss() -> None:
    """When nothing more comes, what is missing is lost."""
    assert await _account(Scripted(sent=[10], accounted=[8]), give_up_s=0.35) == (10, 8, 2)


def test_the_rate_counts_from_when_ticks_began_to_come() -> None:
    """What was there before, and the wait for the first tick, are not part of it."""
    watch = Watch(Scripted([], []), 1.0)  # type: ignore[arg-type]
    for at_s, count in ((10.0, 5), (20.0, 5), (21.0, 105), (22.0, 205)):
        watch.note(Snapshot({}, {"A": Stored(distinct=count, raw=count)}, at_s=at_s))
    assert watch.ticks_per_s == 100.0


def test_without_a_tick_there_is_no_rate() -> None:
    """Nothing came: nothing a second."""
    watch = Watch(Scripted([], []), 1.0)  # type: ignore[arg-type]
    watch.note(Snapshot({}, {}, at_s=10.0))
    assert watch.ticks_per_s == 0.0
