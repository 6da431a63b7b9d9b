"""The data bridge, put together: the log, the lanes, the feed, and the server they are reached by."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import grpc
from suho.market.v1 import bridge_pb2 as pb

from mesh.bus import open_bus
from mesh.channel import mesh_channel
from mesh.config import SettingsError
from mesh.log import get_logger
from mesh.server import MeshServer, instance_of, open_server, serve
from mesh.session import open_session
from services.data_bridge.bridge import Bridge
from services.data_bridge.config import BridgeSettings
from services.data_bridge.database import StoredTicks
from services.data_bridge.domain.progress import SymbolKey
from services.data_bridge.domain.terminal import HistoryChange, Resent
from services.data_bridge.feed import Feed
from services.data_bridge.feed_history import TickHistory
from services.data_bridge.jetstream import TickLog
from services.data_bridge.lane import Lane
from services.data_bridge.newest import NewestTicks
from services.data_bridge.publisher import Publisher
from services.data_bridge.servicers.bars import BarServicer
from services.data_bridge.servicers.feed import FeedServicer
from services.data_bridge.servicers.lanes import LaneServicer
from services.data_bridge.servicers.service import bridge_service
from services.data_bridge.servicers.status import StatusServicer
from services.data_bridge.tick_message import UnreadableMessages

log = get_logger(__name__)

PROGRAM = "data-bridge"
_DEPENDENCIES = ("database",)


async def main(settings: BridgeSettings, stop: asyncio.Event) -> None:
    """Run a data bridge until `stop`."""
    async with (
        mesh_channel(settings, PROGRAM, _DEPENDENCIES) as channel,
        open_bridge(settings, channel) as server,
        open_session(settings, instance_of(settings, PROGRAM, server, _DEPENDENCIES)) as session,
    ):
        log.info("data bridge is ready", address=f"{settings.host}:{server.port}")
        await serve(server, session, stop)


class _NothingAsked:
    """Nobody asks agents about their histories; what they say of their own accord is logged."""

    def changed(self, lane: Lane, changes: Sequence[HistoryChange]) -> None:
        for change in changes:
            log.warning("HISTORY_CHANGED", agent=lane.agent, symbol=change.key.symbol, at=change.at)

    def answered(self, lane: Lane, resent: Sequence[Resent], answers: Sequence[pb.HistoryAnswer]) -> None:
        log.info("answers that nobody waits for", agent=lane.agent, answers=len(answers), resent=len(resent))

    def left(self, lane: Lane) -> None: ...


@asynccontextmanager
async def open_bridge(settings: BridgeSettings, database: grpc.aio.Channel) -> AsyncIterator[MeshServer]:
    """A serving bridge that reaches the database service over `database`; waits until NATS is there."""
    draining = asyncio.Event()
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
        feed, history = Feed(bus, unreadable), TickHistory(ticks, database, unreadable)
        joined = min(settings.joined_ticks, ticks.most_ticks)

        def publisher(key: SymbolKey) -> Publisher:
            return Publisher(key, ticks, stored, newest.offer, joined)

        async def drain() -> None:
            await draining.wait()
            bridge.drain()
            feed.drain()

        bridge = Bridge(settings.instance, publisher, _NothingAsked(), settings.lane_messages, tasks)
        bridge.spawn(newest.run(), "newest ticks")
        bridge.spawn(drain(), "drain")
        service = bridge_service(
            LaneServicer(bridge, settings.message_ticks).handlers(),
            FeedServicer(feed, history, settings.subscriber_bytes).handlers(),
            BarServicer(feed, history, settings.subscriber_bytes, settings.bars_interval_ms / 1000).handlers(),
            StatusServicer(bridge).handlers(),
        )
        try:
            async with open_server(settings, [service], draining) as server:
                yield server
        finally:
            bridge.stop()
