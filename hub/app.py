"""The hub, put together: registry, discovery, and the server they are reached by."""

import asyncio
from importlib.metadata import version
from uuid import uuid4

from suho.hub.v1 import registry_pb2 as pb
from suho.hub.v1 import registry_pb2_grpc

from hub.config import HubSettings
from hub.discovery import Discovery
from hub.domain.catalog import Catalog
from hub.domain.expiry import SelfPreservation
from hub.domain.lease import LeaseTerms
from hub.memory import MemoryStore
from hub.messages.instances import instance_from
from hub.registry import Holder, Registry, RegistryLimits
from hub.servicers.discovery import DiscoveryServicer
from hub.servicers.registry import RegistryServicer
from hub.streams import Bell
from mesh.clock import unix_ms
from mesh.log import get_logger
from mesh.server import MeshServer, instance_of, open_server, service

log = get_logger(__name__)

PROGRAM = "hub"
_REGISTRY = "suho.hub.v1.RegistryService"

# gRPC's core refuses more than about a thousand streams that begin at once: a mesh that reconnects.
_MANY_STREAMS = (
    ("grpc.server.max_pending_requests", 20_000),
    ("grpc.server.max_pending_requests_hard_limit", 40_000),
)
# Enough for the last words on streams that were told to end.
_STOP_GRACE_S = 0.5


async def main(settings: HubSettings, stop: asyncio.Event) -> None:
    """Run a hub until `stop`."""
    news, published = Bell(), Bell()
    registry = _registry(settings, news)
    discovery = Discovery(registry, news, published, settings.debounce_s)
    async with asyncio.TaskGroup() as tasks:
        servicer = RegistryServicer(registry, discovery, news, tasks)
        services = [
            service(registry_pb2_grpc.add_RegistryServiceServicer_to_server, servicer, _REGISTRY),
            DiscoveryServicer(discovery, settings.hold_s, tasks).service(),
        ]
        async with open_server(settings, services, options=_MANY_STREAMS) as server:
            own = await _register_itself(settings, registry, server)
            running = [
                tasks.create_task(registry.keep_sweeping(own), name="sweep leases"),
                tasks.create_task(discovery.run(), name="publish"),
            ]
            log.info("hub is ready", address=f"{settings.host}:{server.port}")
            await stop.wait()
            server.draining.set()
            for bell in (servicer.sessions, news, published):
                bell.stop()
            await server.stop(_STOP_GRACE_S)
            for task in running:
                task.cancel()


def _registry(settings: HubSettings, news: Bell) -> Registry:
    # Beginning at the time, revisions of a restarted hub never repeat those that watchers still hold.
    first_revision = unix_ms()
    return Registry(
        settings.instance,
        MemoryStore(first_revision),
        Catalog(settings.history, first_revision),
        news,
        LeaseTerms(settings.heartbeat_s, settings.lease_ttl_s, settings.grace_s),
        SelfPreservation(settings.protect_from_instances, settings.protect_from_expiries, settings.protect_max_share),
        RegistryLimits(
            settings.max_instances, settings.history, settings.remember_expired_s, settings.sweep_interval_s
        ),
    )


async def _register_itself(settings: HubSettings, registry: Registry, server: MeshServer) -> Holder:
    """The hub is an instance like any other; only that it needs no session with itself."""
    message = instance_of(settings, PROGRAM, server)
    message.status = pb.INSTANCE_STATUS_UP
    message.version = version("suho")
    return await registry.register(instance_from(message), token=uuid4().hex)
