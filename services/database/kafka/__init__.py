"""Kafka or Redpanda, when configured: the tick log and the signals, for whoever reads them there (docs/operations.md).

The modules need the extra `kafka`; only this one may be imported without it.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

from mesh.config import SettingsError
from services.database.config import DatabaseSettings
from services.database.postgres.outbox import Outbox
from services.database.postgres.pool import Postgres
from services.database.sink import Log

if TYPE_CHECKING:
    from services.database.kafka.app import KafkaSinks


def require(settings: DatabaseSettings) -> None:
    """Raises SettingsError where Kafka is configured and its library is not installed."""
    if settings.kafka_bootstrap and find_spec("confluent_kafka") is None:
        raise SettingsError("setting 'kafka_bootstrap': the library for Kafka is missing; install suho[kafka]")


@asynccontextmanager
async def open_if_configured(
    settings: DatabaseSettings,
    tick_log: Log,
    postgres: Postgres,
    outbox: Outbox,
    transient: tuple[type[Exception], ...],
) -> AsyncIterator["KafkaSinks | None"]:
    """The sinks for as long as the block runs; None where Kafka is not configured."""
    if not settings.kafka_bootstrap:
        yield None
        return
    from services.database.kafka.app import open_kafka

    async with open_kafka(settings, tick_log, postgres, outbox, transient) as opened:
        yield opened
