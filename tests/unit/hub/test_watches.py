"""What watchers are told."""

import asyncio
from dataclasses import replace

from suho.hub.v1 import registry_pb2 as pb

from hub.domain.status import Status
from hub.servicers.watches import Watches
from hub.streams import Bell
from tests.unit.hub.several import TOKEN, hubs, instance


async def test_who_goes_over_to_another_service_has_left_the_first() -> None:
    """A watcher of one service hears of its departure, a watcher of all that it changed."""
    async with hubs() as world:
        one = await world.start("hub-1")
        await one.registry.register(instance(), TOKEN)
        start = one.replica.catalog.revision
        watches = Watches(one.replica.catalog, Bell(), 10)
        await one.registry.register(replace(instance(), service="other", grpc_services=()), TOKEN)
        heard = {}
        for service in ("echo", "other", ""):
            stream = watches.serve(pb.WatchRequest(service=service, start_revision=start))
            async with asyncio.timeout(30):
                message = pb.WatchResponse.FromString(await anext(stream))
            await stream.aclose()  # type: ignore[attr-defined]
            heard[service] = [(change.instance.id, change.kind) for change in message.changes]
        assert heard == {
            "echo": [("echo-1", pb.CHANGE_KIND_REMOVED)],
            "other": [("echo-1", pb.CHANGE_KIND_PUT)],
            "": [("echo-1", pb.CHANGE_KIND_PUT)],
        }
        assert one.status() is Status.UP
