"""Puts together what goes to Kafka: two writers, each under a lease of its own."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

from mesh.log import get_logger
from services.database.config import DatabaseSettings
from services.database.domain.incident import Incident
from services.database.domain.log import Range
from services.database.kafka.positions import SIGNALS_WRITER, TICKS_WRITER
from services.database.kafka.signals import SignalsLostError, SignalTopic
from services.database.kafka.ticks import SecondLog, TickProgress, TickTopic
from services.database.kafka.topics import INTERRUPTED, Cluster, UnfitTopicError
from services.database.kafka.writer import FencedError, open_writer
from services.database.postgres.lease import KAFKA_SIGNALS_LEASE, KAFKA_TICKS_LEASE, holder, while_leased
from services.database.postgres.outbox import Outbox
from services.database.postgres.pool import Postgres
from services.database.postgres.signals import Signals
from services.database.sink import Log, Sink
from services.database.sinks import Log as StatedLog
from services.database.sinks import SinkEntry

log = get_logger(__name__)

_LINE_UP_AGAIN_S = 2.0


@dataclass(frozen=True)
class KafkaSinks:
    """The sinks, and how far the one of ticks got: nothing leaves the log before that."""

    ticks: Sink
    progress: TickProgress
    signals: SignalTopic

    async def run(self, dsn: str, instance: str) -> None:
        """Both for ever, each while this instance holds its lease."""
        async with asyncio.TaskGroup() as tasks:
            for lease, work in ((KAFKA_TICKS_LEASE, self.ticks.run), (KAFKA_SIGNALS_LEASE, self.signals.run)):
                tasks.create_task(_lined_up(dsn, lease, instance, work))

    def entries(self, tick_log: StatedLog, postgres: Postgres) -> list[SinkEntry]:
        """The sink of ticks as it is seen from outside."""
        leased_by = partial(holder, postgres, KAFKA_TICKS_LEASE)
        return [SinkEntry(tick_log, "kafka", self.ticks, self.progress, leased_by, optional=True)]


@asynccontextmanager
async def open_kafka(
    settings: DatabaseSettings,
    tick_log: Log,
    postgres: Postgres,
    outbox: Outbox,
    transient: tuple[type[Exception], ...],
) -> AsyncIterator[KafkaSinks]:
    """The sinks; nothing is asked of Kafka before they run."""
    cluster = Cluster(settings.kafka_bootstrap, settings.kafka_replication)
    failures = (*transient, *INTERRUPTED)
    async with (
        open_writer(cluster, TICKS_WRITER, settings.kafka_compression) as ticks,
        open_writer(cluster, SIGNALS_WRITER, settings.kafka_compression) as signals,
    ):
        yield KafkaSinks(
            Sink(
                SecondLog(tick_log),
                TickTopic(cluster, ticks, tick_log.name),
                settings.sink_max_bytes,
                failures,
                _warn,
                settings.instance,
                _tell_nobody,
            ),
            TickProgress(cluster, tick_log),
            SignalTopic(Signals(postgres), cluster, signals, outbox.commits, failures),
        )


async def _lined_up(dsn: str, lease: int, instance: str, work: Callable[[], Awaitable[None]]) -> None:
    """`work` whenever this instance holds the lease, until it can not go on; who is fenced stands in line again."""
    stopped = False

    async def guarded() -> None:
        nonlocal stopped
        try:
            await work()
        except FencedError as error:
            log.warning("fenced by another instance; standing in line again", because=str(error))
        except (UnfitTopicError, SignalsLostError) as error:
            log.error("nothing more goes to Kafka", because=str(error))
            stopped = True

    while not stopped:
        await while_leased(dsn, lease, instance, guarded)
        await asyncio.sleep(_LINE_UP_AGAIN_S)


def _warn(incident: Incident) -> None:
    """The log's first sink alerts people of what is wrong with the log; this one only says what it left out."""
    log.warning("the log is not as Kafka knows it", kind=incident.kind, because=incident.detail)


def _tell_nobody(_: Range) -> None:
    """Caches follow ClickHouse."""
