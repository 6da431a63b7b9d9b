"""What an agent says is stored, whatever becomes of that beside it."""

import asyncio
from collections.abc import Iterator

import pytest

from mesh.errors import MeshError, Reason
from services.trading_engine import intake
from services.trading_engine.database import DatabaseAwayError
from services.trading_engine.intake import Intake
from tests.support import eventually


class Database:
    """Takes what it is given, but for what is `bad`; `away` so many times first."""

    def __init__(self, bad: dict[str, MeshError], away: int = 0) -> None:
        self.bad = bad
        self.away = away
        self.sizes: list[int] = []
        self.stored: list[str] = []
        self.refused: list[str] = []

    @property
    def asked(self) -> int:
        return len(self.sizes)

    async def store(self, items: list[str]) -> None:
        self.sizes.append(len(items))
        await asyncio.sleep(0)
        if self.away:
            self.away -= 1
            raise DatabaseAwayError(Reason.UNREACHABLE, "away")
        for item in items:
            if item in self.bad:
                raise self.bad[item]
        self.stored += items

    async def refuse(self, item: str, error: MeshError) -> None:
        self.refused.append(item)


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    def at_once() -> Iterator[float]:
        while True:
            yield 0.0

    monkeypatch.setattr(intake, "backoff", at_once)


@pytest.mark.parametrize(
    ("bad", "stored", "refused"),
    [
        ({}, "abcde", ""),
        ({"c": MeshError(Reason.UNKNOWN_ORDER, "no such order")}, "abde", "c"),
        ({"d": DatabaseAwayError(Reason.INTERNAL, "it failed")}, "abce", ""),
    ],
)
async def test_what_is_refused_or_can_not_be_stored_holds_up_no_other(
    bad: dict[str, MeshError], stored: str, refused: str
) -> None:
    """An absence is waited for, however long; only what is refused with a reason is put aside."""
    database = Database(bad, away=50)
    taken = Intake[str]("letters", str, database.store, database.refuse)
    for letter in "abcde":
        await taken.put(letter)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(taken.run())
        await taken.done()
        running.cancel()
    assert ("".join(database.stored), "".join(database.refused)) == (stored, refused)


async def test_what_the_database_fails_on_is_tried_until_it_is_stored() -> None:
    """However often: a table may be missing while it is restored. What comes meanwhile is stored at once."""
    failing = DatabaseAwayError(Reason.INTERNAL, "it failed")
    database = Database({"a": failing, "b": failing})
    taken = Intake[str]("letters", str, database.store, database.refuse)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(taken.run())
        for letter in "abc":
            await taken.put(letter)
        await eventually(lambda: database.asked > 150)
        assert (database.stored, database.refused) == (["c"], [])
        await taken.put("d")
        await eventually(lambda: database.stored == ["c", "d"])
        database.bad.clear()
        await eventually(lambda: len(database.stored) == 4)
        running.cancel()
    assert (sorted(database.stored), database.refused) == (["a", "b", "c", "d"], [])


async def test_when_much_has_failed_more_waits_for_it() -> None:
    """A database that fails on everything is not asked for more and more."""
    database = Database(dict.fromkeys(map(str, range(200)), DatabaseAwayError(Reason.INTERNAL, "it failed")))
    taken = Intake[str]("numbers", str, database.store, database.refuse)
    for number in range(200):
        await taken.put(str(number))
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(taken.run())
        await eventually(lambda: database.asked > 1_000)
        assert (max(database.sizes), database.stored) == (100, [])
        database.bad.clear()
        await taken.done()
        await eventually(lambda: len(database.stored) == 200)
        running.cancel()


async def test_what_is_told_of_one_order_keeps_its_order() -> None:
    """Behind what the database fails on: an order that was found again would else be in doubt for ever."""
    database = Database({"a UNKNOWN": DatabaseAwayError(Reason.INTERNAL, "it failed")})
    taken = Intake[str]("letters", lambda told: told[0], database.store, database.refuse)
    for told in ("a UNKNOWN", "b FILLED", "a PLACED", "c FILLED"):
        await taken.put(told)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(taken.run())
        await eventually(lambda: database.stored == ["b FILLED", "c FILLED"] and database.asked > 10)
        database.bad.clear()
        await eventually(lambda: database.stored[2:] == ["a UNKNOWN", "a PLACED"])
        running.cancel()
