"""When the keeper of bars reads all ticks, and when it does not."""

import asyncio
from typing import Any, cast

import pytest

from mesh.errors import MeshError, Reason
from services.database.clickhouse import bar_keeper
from services.database.clickhouse.bar_keeper import BarKeeper
from services.database.clickhouse.client import ClickHouse
from tests.support import eventually


class FailingClickHouse:
    """Fails the first questions of each kind, then knows nothing of any."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.looks = self.computations = 0

    async def rows(self, sql: str, **parameters: Any) -> list[dict[str, Any]]:
        if "min(time_msc) AS first_msc" in sql:
            self.looks += 1
            self._fail(self.looks)
        return [{"version": 1}] if "AS version" in sql else []

    async def command(self, sql: str, **parameters: Any) -> None:
        self.computations += 1
        self._fail(self.computations)

    def _fail(self, times: int) -> None:
        if times <= self.failures:
            raise MeshError(Reason.ENGINE_UNAVAILABLE, "away")


async def test_a_failed_computation_is_repeated_without_reading_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is stale is remembered; only a look that failed is taken again."""
    monkeypatch.setattr(bar_keeper, "_RETRY_S", 0.01)
    monkeypatch.setattr(bar_keeper, "_GATHER_S", 0.01)
    clickhouse = FailingClickHouse(3)
    keeper = BarKeeper(cast("ClickHouse", clickhouse))
    keeper.stored("Demo", "EURUSD", 60_000, 120_000)
    running = asyncio.create_task(keeper.run())
    await eventually(lambda: clickhouse.computations == 3 + 2)
    running.cancel()
    await asyncio.wait([running])
    assert clickhouse.looks == 3 + 1
