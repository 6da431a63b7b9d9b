"""What runs for ever ends when it is cancelled, also as an answer arrives."""

from typing import Any

import pytest
from redis.asyncio import Redis

from services.database import purge
from services.database.domain.purge import LogState
from services.database.purge import Purge
from services.database.recent import RecentTicks
from tests.support.endless import Answer, ends


class Log:
    name = "TICKS"

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    async def state(self) -> LogState:
        await self._answer()
        return LogState(1, 1, 5, 10, 1000, 0, 0)

    async def purging(self, epoch: int, up_to: int) -> None:
        raise AssertionError("nothing may go")


async def test_a_purge_ends_as_the_log_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else it would go on without the lease, and this instance would never store a tick again."""
    monkeypatch.setattr(purge, "_LOOK_S", 0.001)
    answer = Answer()
    nothing: Any = None
    assert await ends(Purge(Log(answer), nothing, [], None, 60, (OSError,), lambda: 0).run(), answer)


async def test_recent_ticks_end_as_the_cache_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the program would never stop while ticks come."""
    answer = Answer()
    nothing: Any = None
    recent = RecentTicks(Redis(), nothing)

    async def flush() -> None:
        recent.offer([])  # more has come meanwhile
        await answer()

    monkeypatch.setattr(recent, "flush", flush)
    recent.offer([])
    assert await ends(recent.run(), answer)
