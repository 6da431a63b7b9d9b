"""The hub, put together: registry, discovery, and the server they are reached by."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import version
from uuid import uuid4

from suho.hub.v1 import registry_pb2 as pb

from hub.alarms import Alarms
from hub.config import HubSettings
from hub.config_reports import ConfigReports
from hub.configurations import Configurations
from hub.discovery import Discovery
from hub.domain.catalog import Catalog
from hub.domain.expiry import SelfPreservation
from hub.domain.flapping import Damping
from hub.domain.history import History
from hub.domain.infrastructure import infrastructure_of
from hub.domain.instance import Instance
from hub.domain.lease import LeaseTerms
from hub.domain.peers import Alone, Peers, PresenceTerms
from hub.domain.probation import Thresholds
from hub.domain.probing import ProbeTerms
from hub.domain.state import Store
from hub.gauges import observe
from hub.health.chronicle import Chronicle
from hub.health.history import MemoryHistory, StreamHistory
from hub.health.infrastructure import Infrastructure
from hub.health.probing import Prober
from hub.maintenance import Maintenance
from hub.messages.instances import instance_from
from hub.names import Names, keep_looking_up
from hub.presence import NatsPresence
from hub.registry import Registry, RegistryLimits
from hub.servicers.configuration import ConfigServicer
from hub.servicers.discovery import DiscoveryServicer
from hub.servicers.leases import UnaryLeases
from hub.servicers.maintenance import MaintenanceServicer
from hub.servicers.questions import Questions
from hub.servicers.registry import RegistryServicer
from hub.servicers.sessions import Sessions
from hub.servicers.traffic import TrafficServicer
from hub.servicers.watches import Watches
from hub.store.memory import MemoryStore
from hub.store.nats_bucket import STREAM
from hub.store.nats_store import NatsStore
from hub.store.replica import Replica
from hub.streams import Bell
from hub.traffic import Traffic
from mesh.bus import open_bus
from mesh.clock import unix_ns
from mesh.keepalive import keepalive
from mesh.log import get_logger
from mesh.server import MeshServer, instance_of, open_server

log = get_logger(__name__)

PROGRAM = "hub"

# gRPC's core refuses more than about a thousand streams that begin at once: a mesh that reconnects.
_MANY_STREAMS = (
    ("grpc.server.max_pending_requests", 20_000),
    ("grpc.server.max_pending_requests_hard_limit", 40_000),
)
# Later than a lease lasts: whoever falls silent is to be judged by that.
_PING_AFTER_S = 60.0
_PING_ANSWER_S = 20.0
# Enough for the last words on streams that were told to end.
_STOP_GRACE_S = 0.5


@dataclass(frozen=True)
class Shared:
    """What hubs share, and who the others are."""

    kind: str
    store: Store
    peers: Peers
    history: History
    presence: NatsPresence | None = None


async def main(settings: HubSettings, stop: asyncio.Event) -> None:
    """Run a hub until `stop`."""
    async with _open_shared(settings) as shared, asyncio.TaskGroup() as tasks:
        news = Bell()
        replica = Replica(settings.instance, shared.store, Catalog(settings.history), news)
        running = [tasks.create_task(replica.run(), name="follow the store")]
        try:
            # A hub without the state that it shares would tell clients that nobody is there.
            await replica.loaded()
            hub = Hub(settings, shared, replica, news, tasks)
            running += hub.start()
            await hub.serve(stop)
        finally:
            for task in running:
                task.cancel()


class Hub:
    """The parts of one hub, made when it knows the registry."""

    def __init__(
        self, settings: HubSettings, shared: Shared, replica: Replica, news: Bell, tasks: asyncio.TaskGroup
    ) -> None:
        self._settings = settings
        self._shared = shared
        self._replica = replica
        self._news = news
        self._tasks = tasks
        self._token = uuid4().hex
        self._registry = _registry(settings, replica, shared.peers)
        self._discovery = Discovery(replica, news, Bell(), settings.debounce_s)
        self._traffic = Traffic(replica, self._discovery.publish_up_to)
        self._maintenance = Maintenance(replica, self._discovery.publish_up_to)
        self._configurations = Configurations(replica)
        self._prober = Prober(settings.instance, replica, news, self._registry, shared.history, _probe_terms(settings))
        self._alarms = Alarms(self._registry, settings.max_instances, lambda: self._prober.doubts_itself)
        self._watches = Watches(replica.catalog, news, settings.progress_s)
        self._sessions = Sessions(self._registry, self._discovery, tasks)

    def start(self) -> list["asyncio.Task[None]"]:
        """What goes on beside the server."""
        settings, registry, shared = self._settings, self._registry, self._shared
        infrastructure = Infrastructure(map(infrastructure_of, settings.infrastructure), registry)
        chronicle = Chronicle(settings.instance, registry.catalog, shared.peers, self._news, shared.history)
        works = {
            "publish": self._discovery.run(),
            "tell sessions": self._sessions.run(self._news),
            "alarms": self._alarms.run(),
            "look up names": keep_looking_up(registry, settings.resolve_interval_s),
            "tell the history": chronicle.run(),
            "infrastructure": infrastructure.run(),
        }
        if settings.probe_interval_s:
            works["probes"] = self._prober.run()
        if shared.presence is not None:
            works["presence"] = shared.presence.run(registry.stands, lambda: registry.silent)
        if isinstance(shared.history, StreamHistory):
            works["health history"] = shared.history.run()
        return [self._tasks.create_task(work, name=name) for name, work in works.items()]

    async def serve(self, stop: asyncio.Event) -> None:
        """Listen until `stop`, and leave."""
        settings, discovery = self._settings, self._discovery
        questions = Questions(
            self._registry,
            self._alarms,
            self._shared.kind,
            lambda: self._watches.count,
            lambda: len(discovery.bell),
        )
        leases = UnaryLeases(self._registry, discovery)
        streams = DiscoveryServicer(discovery, settings.hold_s, self._tasks)
        services = [
            RegistryServicer(
                self._sessions, leases, questions, self._watches, self._shared.history, self._registry.catalog
            ).service(),
            streams.service(),
            TrafficServicer(settings.instance, self._traffic, discovery, streams.clients).service(),
            MaintenanceServicer(self._maintenance).service(),
            ConfigServicer(
                settings.instance, self._configurations, ConfigReports(self._registry.catalog), self._replica.configured
            ).service(),
        ]
        pings = keepalive(round(max(_PING_AFTER_S, 2 * settings.lease_ttl_s) * 1000), round(_PING_ANSWER_S * 1000))
        async with open_server(settings, services, options=(*_MANY_STREAMS, *pings)) as server:
            observe(questions.state)
            own = self._own(server)
            await self._registry.register_itself(own, self._token)
            sweeping = self._tasks.create_task(self._registry.keep_sweeping(own, self._token), name="sweep leases")
            log.info("hub is ready", address=f"{settings.host}:{server.port}", store=self._shared.kind)
            try:
                await stop.wait()
            finally:
                sweeping.cancel()
            await self._leave(server)

    def _own(self, server: MeshServer) -> Instance:
        """The hub is an instance like any other; only that it needs no session with itself."""
        message = instance_of(self._settings, PROGRAM, server)
        message.status = pb.INSTANCE_STATUS_UP
        message.version = version("suho")
        return instance_from(message)

    async def _leave(self, server: MeshServer) -> None:
        server.draining.set()
        await self._registry.leave_itself(self._settings.instance, self._token)
        for bell in (self._sessions.bell, self._news, self._discovery.bell, self._replica.configured):
            bell.stop()
        await server.stop(_STOP_GRACE_S)


@asynccontextmanager
async def _open_shared(settings: HubSettings) -> AsyncIterator[Shared]:
    """The registry in NATS, with the other hubs; in memory, without others, where no NATS is set."""
    url = settings.nats_url.get_secret_value()
    if not url:
        # Beginning at the time, revisions of a restarted hub never repeat those that watchers still hold.
        yield Shared("memory", MemoryStore(unix_ns() // 1000), Alone(time.monotonic), MemoryHistory())
        return
    async with open_bus(url, settings.instance) as bus:
        stream = bus.jetstream()
        presence = NatsPresence(
            bus,
            settings.instance,
            uuid4().hex,
            lambda: stream.stream_info(STREAM),
            PresenceTerms(settings.detached_s, settings.gone_s),
            settings.presence_s,
        )
        await presence.claim_id()
        yield Shared("nats", NatsStore(bus, settings.nats_replicas), presence, StreamHistory(bus), presence)


def _registry(settings: HubSettings, replica: Replica, peers: Peers) -> Registry:
    return Registry(
        settings.instance,
        replica,
        peers,
        LeaseTerms(settings.heartbeat_s, settings.lease_ttl_s, settings.grace_s),
        SelfPreservation(settings.protect_from_instances, settings.protect_from_expiries, settings.protect_max_share),
        RegistryLimits(settings.max_instances, settings.remember_expired_s, settings.sweep_interval_s),
        Names(settings.resolve_timeout_s).placed,
    )


def _probe_terms(settings: HubSettings) -> ProbeTerms:
    return ProbeTerms(
        interval_s=settings.probe_interval_s,
        timeout_s=settings.probe_timeout_s,
        retry_s=settings.probe_retry_s,
        span_s=settings.health_span_s,
        concurrency=settings.probe_concurrency,
        thresholds=Thresholds(settings.probe_failures, settings.probe_successes),
        damping=Damping(settings.flap_half_life_s),
    )
