"""Where a sink goes on, over a model of a log that is truncated, restored, emptied, made anew, purged."""

import asyncio

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from mesh.market import BEFORE_FIRST, TickId
from services.database.domain.log import Identity, Marker, Message, Position
from services.database.domain.resume import Bounds, Gap, Restored, examine


def message(seq: int, content: int) -> Marker:
    """Contents differ in when they were read only, as ticks that are sent again do."""
    return Marker(seq, "Demo", "EURUSD", "pc", content, BEFORE_FIRST, TickId(1, 0), 1, "NON_FINITE_PRICE")


class Log:
    """A log's contents by number, and the number of its last message ever."""

    def __init__(self, contents: dict[int, int] | None = None) -> None:
        self.contents = dict(contents or {})
        self.last = max(self.contents, default=0)

    def append(self, content: int) -> None:
        self.last += 1
        self.contents[self.last] = content

    def copy(self) -> "Log":
        copied = Log(self.contents)
        copied.last = self.last
        return copied

    async def bounds(self) -> Bounds:
        return Bounds(min(self.contents, default=self.last + 1), self.last)

    async def message_from(self, seq: int) -> Message | None:
        found = [number for number in self.contents if number >= seq]
        return message(min(found), self.contents[min(found)]) if found else None


class Table:
    """What is stored: (epoch, number, content)."""

    def __init__(self) -> None:
        self.rows: set[tuple[int, int, int]] = set()

    async def identities(self, seq: int) -> set[Identity]:
        return {message(seq, content).identity for _, number, content in self.rows if number == seq}

    def stored_seq(self, epoch: int) -> int:
        return max((number for at, number, _ in self.rows if at == epoch), default=0)

    def contents(self) -> set[int]:
        return {content for _, _, content in self.rows}


def stored(*contents: int, epoch: int = 1) -> Table:
    table = Table()
    table.rows = {(epoch, seq, content) for seq, content in enumerate(contents, start=1)}
    return table


def found(log: Log, table: Table, seq: int) -> Restored | Gap | None:
    return asyncio.run(examine(Position(1, seq), log, table.identities))


@pytest.mark.parametrize(
    ("log", "kept", "seq"),
    [
        pytest.param(Log(), (), 0, id="nothing in either"),
        pytest.param(Log({1: 1}), (), 0, id="nothing stored"),
        pytest.param(Log({1: 1, 2: 2, 3: 3}), (1, 2), 2, id="within the log"),
        pytest.param(Log({3: 3}), (1, 2), 2, id="purged up to the position"),
        pytest.param(Log({1: 1, 3: 3}), (1, 2), 2, id="the position's message was purged"),
    ],
)
def test_a_fitting_log_is_followed(log: Log, kept: tuple[int, ...], seq: int) -> None:
    """Where the message at the position is gone, or is the stored one, nothing keeps the sink."""
    assert found(log, stored(*kept), seq) is None


def test_a_shorter_log_is_walked_back() -> None:
    """A truncated log: all of it is common."""
    assert found(Log({1: 1, 2: 2}), stored(1, 2, 3, 4), 4) == Restored(2, Position(1, 4), 2)


def test_a_log_that_grew_again_is_walked_back_to_where_both_agree() -> None:
    """The numbers are the same, what was read is not."""
    log = Log({1: 1, 2: 2, 3: 30, 4: 40, 5: 50})
    assert found(log, stored(1, 2, 3, 4), 4) == Restored(2, Position(1, 4), 5)


def test_messages_that_left_unstored_are_a_gap() -> None:
    """From behind the position to the first that is there."""
    assert found(Log({5: 5}), stored(1, 2), 2) == Gap(3, 4)


class Lives(RuleBasedStateMachine):
    """A log and its sink through restores in any order; ticks that were lost with the log come again, read anew."""

    def __init__(self) -> None:
        super().__init__()
        self.log, self.table = Log(), Table()
        self.epoch, self.start = 1, 0
        self.clock = 0
        self.lost: set[int] = set()
        self.backups = [(self.log.copy(), self.epoch, self.start)]

    def next_content(self) -> int:
        self.clock += 1
        return self.clock

    @rule(count=st.integers(1, 6))
    def publish(self, count: int) -> None:
        for _ in range(count):
            self.log.append(self.next_content())

    @rule(most=st.integers(0, 8))
    def sink(self, most: int) -> None:
        """Starts, goes on where the rules say, stores at most so many, dies."""
        position = Position(self.epoch, max(self.table.stored_seq(self.epoch), self.start))
        result = asyncio.run(examine(position, self.log, self.table.identities))
        seq = position.seq
        if result is not None:
            seq = result.common if isinstance(result, Restored) else result.last
            self.epoch, self.start = self.next_content(), seq
        for number in range(seq + 1, min(seq + most, self.log.last) + 1):
            self.table.rows.add((self.epoch, number, self.log.contents[number]))

    @rule()
    def back_up(self) -> None:
        self.backups.append((self.log.copy(), self.epoch, self.start))

    @rule(which=st.integers(0, 50))
    def restore(self, which: int) -> None:
        """An older copy, its epoch with it, takes the place of the log."""
        before = set(self.log.contents.values())
        log, self.epoch, self.start = self.backups[which % len(self.backups)]
        self.log = log.copy()
        self.lost |= before - set(self.log.contents.values())

    @rule(by=st.integers(1, 5))
    @precondition(lambda self: self.log.contents)
    def truncate(self, by: int) -> None:
        for number in sorted(self.log.contents)[-by:]:
            self.lost.add(self.log.contents.pop(number))
        self.log.last = max(self.log.contents, default=0)

    @invariant()
    def what_the_log_holds_will_be_stored(self) -> None:
        """A sink that lives long enough has every message of the log in the table."""
        self.sink(1000)
        assert set(self.log.contents.values()) <= self.table.contents()

    @invariant()
    def nothing_is_stored_that_was_never_logged(self) -> None:
        assert self.table.contents() <= set(self.log.contents.values()) | self.lost


class PartlyStored(Lives):
    """The same, with sinks that die before they stored all: checked at the end only."""

    @invariant()
    def what_the_log_holds_will_be_stored(self) -> None:
        """Left to `teardown`."""

    def teardown(self) -> None:
        self.sink(1000)
        assert set(self.log.contents.values()) <= self.table.contents()


TestLives = Lives.TestCase
TestPartlyStored = PartlyStored.TestCase
TestLives.settings = TestPartlyStored.settings = settings(max_examples=60, stateful_step_count=20)
