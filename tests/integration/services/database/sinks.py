"""Sinks for tests: run by hand, their incidents in a list."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from mesh.clock import unix_ms, unix_ns
from services.database.app import TRANSIENT, Engines
from services.database.clickhouse.log_store import LogStore
from services.database.config import DatabaseSettings
from services.database.domain.alarm import Alarm
from services.database.domain.incident import Incident
from services.database.domain.liveness import Liveness
from services.database.domain.quality import Monitor
from services.database.jetstream import TickLog
from services.database.sink import Sink


def sink_of(
    engines: Engines,
    log: TickLog | None = None,
    store_class: type[LogStore] = LogStore,
    noted: list[Incident] | None = None,
) -> Sink:
    """A sink of TICKS, or of `log`; its incidents go to `noted`."""
    log, noted = log or engines.tick_log, [] if noted is None else noted
    rules = DatabaseSettings(instance="test")
    zones, sessions = rules.zone_rules(), rules.session_rules()
    alarm = Alarm(unix_ms, noted.append, "test", 60_000)
    liveness = Liveness(alarm, zones.of, sessions, 0) if log is engines.tick_log else None
    monitor = Monitor(zones.of, sessions, rules.spike_threshold, alarm, liveness)
    store = store_class(engines.clickhouse, log.name, monitor, unix_ns)
    return Sink(log, store, 4 << 20, TRANSIENT, noted.append, "test", lambda _: None)


@asynccontextmanager
async def running(sink: Sink) -> AsyncIterator[Sink]:
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(sink.run())
        yield sink
        task.cancel()
