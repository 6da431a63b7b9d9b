"""The store of the sink, on an engine that is not there."""

from typing import Any

import pytest
from clickhouse_connect.driver.exceptions import OperationalError

from services.database.app import TRANSIENT
from services.database.clickhouse.client import ClickHouse
from services.database.clickhouse.log_store import LogStore


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
        await question(LogStore(ClickHouse(away), "TICKS", away, False, lambda: 0))
