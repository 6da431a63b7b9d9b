"""The store of the sink, on an engine that is not there."""

from typing import Any

import pytest
from clickhouse_connect.driver.exceptions import OperationalError

from services.database.app import TRANSIENT
from services.database.clickhouse.client import ClickHouse
from services.database.clickhouse.log_store import LogStore
from services.database.domain.log import Correction, CorrectionRange


class Away:
    """Stands for the client library; nobody answers."""

    async def query(self, *_: Any, **__: Any) -> Any:
        raise OperationalError("connection refused")

    command = query


@pytest.mark.parametrize(
    "question",
    [
        lambda store: store.end_older_inserts(),
        lambda store: store.stored_seq(7),
        lambda store: store.identities(1),
    ],
    ids=["end older inserts", "position", "identities"],
)
async def test_the_sink_tries_again_whichever_question_was_not_answered(question: Any) -> None:
    """ClickHouse may go away between any two questions: none of them ends the sink, and the service with it."""
    away: Any = Away()
    with pytest.raises(TRANSIENT):
        await question(LogStore(ClickHouse(away), "TICKS", away, lambda: 0))


class Recorder:
    """Stands for ClickHouse, and notes what inserts are told."""

    def __init__(self, written: int) -> None:
        self.settings: dict[str, str] = {}
        self._written = written

    async def insert(self, table: str, rows: Any, settings: dict[str, str]) -> int:
        self.settings = settings
        return self._written


CLOSED = CorrectionRange((Correction(1, "Demo", "EURUSD", 1, 0, 1, 0, "audit"),))


async def test_each_logs_inserts_are_known_by_its_name() -> None:
    """So that a sink ends only its own older inserts."""
    clickhouse: Any = Recorder(1)
    await LogStore(clickhouse, "BACKFILL", clickhouse, lambda: 0).store(CLOSED, 7)
    assert clickhouse.settings["log_comment"] == "suho sink BACKFILL"


async def test_an_insert_that_wrote_less_is_repeated() -> None:
    """It was ended from outside: the sink goes on from the stored position."""
    clickhouse: Any = Recorder(0)
    with pytest.raises(TRANSIENT):
        await LogStore(clickhouse, "TICKS", clickhouse, lambda: 0).store(CLOSED, 7)
