"""The data bridge, put together: the log, the lanes, the feed, and the server they are reached by."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import grpc
from nats.aio.client import Client

from mesh.bus import open_bus
from mesh.channel import mesh_channel
from mesh.clock import unix_ns
from mesh.config import SettingsError
from mesh.draining import Draining
from mesh.log import get_logger
from mesh.server import MeshServer, instance_of, open_server, serve
from mesh.session import open_session
from services.data_bridge.audit import Auditor
from services.data_bridge.audit_triggers import AuditTriggers
from services.data_bridge.backfill import Backfill
from services.data_bridge.bridge import Bridge, Limits
from services.data_bridge.config import BridgeSettings
from services.data_bridge.database import StoredTicks
from services.data_bridge.domain.progress import SymbolKey
from services.data_bridge.feed import Feed
from services.data_bridge.feed_history import TickHistory
from services.data_bridge.history import HistoryRelay
from services.data_bridge.incidents import TickIncidents
from services.data_bridge.jetstream import TickLog
from services.data_bridge.lane import Lane
from services.data_bridge.log_watch import LogWatch
from services.data_bridge.newest import NewestTicks
from services.data_bridge.publisher import Listener, Publisher, SymbolRecord
from services.data_bridge.servicers.bars import BarServicer
from services.data_bridge.servicers.feed import FeedServicer
from services.data_bridge.servicers.history import AuditServicer, ImportServicer, TraceServicer
from services.data_bridge.servicers.lanes import LaneServicer
from services.data_bridge.servicers.service import Handlers, bridge_service
from services.data_bridge.servicers.status import StatusServicer
from services.data_bridge.sources import SourceLeases
from services.data_bridge.symbol_log import LoggedTicks
from services.data_bridge.terminals import AgentTerminals
from services.data_bridge.tick_message import UnreadableMessages

log = get_logger(__name__)

PROGRAM = "data-bridge"
_DEPENDENCIES = ("database",)
_LOG_WATCH_S = 2.0


async def main(settings: BridgeSettings, stop: asyncio.Event) -> None:
    """Run a data bridge until `stop`."""
    async with (
        mesh_channel(settings, PROGRAM, _DEPENDENCIES) as channel,
        open_bridge(settings, channel) as server,
        open_session(settings, instance_of(settings, PROGRAM, server, _DEPENDENCIES)) as session,
    ):
        log.info("data bridge is ready", address=f"{settings.host}:{server.port}")
        await serve(server, session, stop)


@dataclass(frozen=True)
class _Past:
    """What asks terminals about their histories, compares and heals."""

    incidents: TickIncidents
    relay: HistoryRelay
    triggers: AuditTriggers
    services: tuple[Handlers, ...]


def _past(
    settings: BridgeSettings,
    bus: Client,
    ticks: TickLog,
    stored: StoredTicks,
    leases: SourceLeases,
    bridge: Callable[[], Bridge],
    draining: Draining,
) -> _Past:
    silence_s = settings.history_timeout_ms / 1000
    incidents = TickIncidents(stored, settings.instance)
    terminals, logged = AgentTerminals(bus, leases.is_streamed, silence_s), LoggedTicks(ticks)
    later = Backfill(bus, settings.publish_timeout_ms / 1000, min(settings.joined_ticks, ticks.most_ticks))
    auditor = Auditor(terminals, logged, stored, stored, later, incidents, unix_ns)

    def lane_of(key: SymbolKey) -> Lane | None:
        return bridge().lane_of(key)

    def standing_by(key: SymbolKey) -> Sequence[str]:
        return bridge().openings.waiting(key)

    def held() -> list[SymbolKey]:
        return [key for key in leases.streamed() if lane_of(key)]

    triggers = AuditTriggers(auditor, incidents, held, settings.audit_at)
    return _Past(
        incidents,
        HistoryRelay(bus, settings.instance, lane_of, triggers, silence_s),
        triggers,
        (
            TraceServicer(terminals, logged, stored, standing_by).handlers(),
            AuditServicer(auditor, leases.streamed, draining).handlers(),
            ImportServicer(later, settings.message_ticks).handlers(),
        ),
    )


@asynccontextmanager
async def open_bridge(settings: BridgeSettings, database: grpc.aio.Channel) -> AsyncIterator[MeshServer]:
    """A serving bridge that reaches the database service over `database`; waits until NATS is there."""
    draining = Draining()
    async with (
        open_bus(settings.nats_url.get_secret_value(), settings.instance) as bus,
        asyncio.TaskGroup() as tasks,
    ):
        ticks = TickLog(bus, settings.publish_timeout_ms / 1000)
        if ticks.most_ticks < settings.message_ticks:
            raise SettingsError(
                f"setting 'message_ticks': NATS takes {bus.max_payload} bytes a message,"
                f" which is {ticks.most_ticks} ticks; lower it or raise max_payload of NATS"
            )
        stored = StoredTicks(database)
        newest = NewestTicks(stored, settings.newest_interval_ms / 1000)
        unreadable = UnreadableMessages()
        feed, history = Feed(bus, unreadable, draining), TickHistory(ticks, database, unreadable)
        joined = min(settings.joined_ticks, ticks.most_ticks)
        life = f"{settings.instance}-{secrets.token_hex(4)}"
        leases = SourceLeases(bus, life, settings.source_ttl_s, settings.publish_timeout_ms / 1000)

        def publisher(record: SymbolRecord) -> Publisher:
            return Publisher(record, ticks, stored, leases, Listener(newest.offer, bridge.differs), joined)

        async def end_streams() -> None:
            bridge.drain()
            feed.drain()

        limits = Limits(settings.lane_messages, settings.source_grace_ms / 1000)
        past = _past(settings, bus, ticks, stored, leases, lambda: bridge, draining)
        bridge = Bridge(settings.instance, life, publisher, leases, past.relay, past.incidents, limits, draining, tasks)
        bridge.spawn(past.relay.run(), "history")
        bridge.spawn(past.triggers.run(), "audits")
        bridge.spawn(past.incidents.run(), "incidents")
        bridge.spawn(leases.run(bridge.openings.heard), "source leases")
        bridge.spawn(LogWatch(bus, bridge.reread_log, _LOG_WATCH_S).run(), "log watch")
        bridge.spawn(bridge.retire(settings.idle_symbol_s), "retire")
        bridge.spawn(newest.run(), "newest ticks")
        bridge.spawn(draining.each_time(end_streams), "drain")
        service = bridge_service(
            LaneServicer(bridge, settings.message_ticks).handlers(),
            FeedServicer(feed, history, settings.subscriber_bytes).handlers(),
            BarServicer(feed, history, settings.subscriber_bytes, settings.bars_interval_ms / 1000).handlers(),
            StatusServicer(bridge).handlers(),
            *past.services,
        )
        try:
            async with open_server(settings, [service], draining) as server:
                yield server
        finally:
            await bridge.stop()
