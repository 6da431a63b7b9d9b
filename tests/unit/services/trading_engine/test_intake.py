"""What an agent says is stored, whatever becomes of that beside it."""

import asyncio
from collections.abc import Iterator

import pytest

from mesh.errors import MeshError, Reason
from services.trading_engine import intake
from services.trading_engine.database import DatabaseAwayError
from services.trading_engine.intake import Intake


class Database:
    """Takes what it is given, but for what is `bad`; `away` so many times first."""

    def __init__(self, bad: dict[str, MeshError], away: int = 0) -> None:
        self.bad = bad
        self.away = away
        self.stored: list[str] = []
        self.refused: list[str] = []

    async def store(self, items: list[str]) -> None:
        if self.away:
            self.away -= 1
            raise DatabaseAwayError(Reason.UNREACHABLE, "away")
        for item in items:
            if item in self.bad:
                raise self.bad[item]
        self.stored += items

    async def refuse(self, item: str, error: MeshError) -> None:
        self.refused.append(item)


@pytest.mark.parametrize(
    ("bad", "stored", "refused"),
    [
        ({}, "abcde", ""),
        ({"c": MeshError(Reason.UNKNOWN_ORDER, "no such order")}, "abde", "c"),
        ({"d": DatabaseAwayError(Reason.INTERNAL, "it failed")}, "abce", "d"),
    ],
)
async def test_what_is_refused_or_can_not_be_stored_holds_up_no_other(
    monkeypatch: pytest.MonkeyPatch, bad: dict[str, MeshError], stored: str, refused: str
) -> None:
    """An absence is waited for, however long; what the database fails on again and again is put aside."""

    def at_once() -> Iterator[float]:
        while True:
            yield 0.0

    monkeypatch.setattr(intake, "backoff", at_once)
    database = Database(bad, away=50)
    taken = Intake[str]("letters", database.store, database.refuse)
    for letter in "abcde":
        await taken.put(letter)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(taken.run())
        await taken.done()
        running.cancel()
    assert ("".join(database.stored), "".join(database.refused)) == (stored, refused)
