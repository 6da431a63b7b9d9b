"""What waits for ClickHouse, and who waits for it."""

import asyncio
from typing import Any, cast

import pytest

from services.database.clickhouse.client import ClickHouse
from services.database.clickhouse.incidents import Incidents
from services.database.domain.incident import Incident


class SilentClickHouse:
    """Takes every question, and answers none."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    async def rows(self, sql: str, **parameters: Any) -> None:
        self.asked.set()
        await asyncio.Event().wait()


async def test_nothing_is_asked_for_nothing() -> None:
    """While no incident waits, ClickHouse hears nothing."""
    silent = SilentClickHouse()
    await Incidents(cast("ClickHouse", silent)).flush()
    assert not silent.asked.is_set()


async def test_a_silent_clickhouse_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that ends leaves what can not be stored at once, and has said it in its log."""
    monkeypatch.setattr("services.database.clickhouse.incidents._ANSWER_S", 60.0)
    silent = SilentClickHouse()
    incidents = Incidents(cast("ClickHouse", silent))
    running = asyncio.create_task(incidents.run())
    incidents.note(Incident("a", 1, "HOLE"))
    await silent.asked.wait()
    running.cancel()
    ended, _ = await asyncio.wait([running], timeout=30)
    assert ended
