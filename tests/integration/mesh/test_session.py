"""A session among several hubs: which it leaves, when, and what it hears."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import grpc
import pytest
import pytest_asyncio
from suho.hub.v1 import registry_pb2 as pb
from suho.hub.v1 import registry_pb2_grpc

from mesh import session as session_module
from mesh.config import MeshSettings, ServerSettings
from mesh.draining import Draining
from mesh.errors import MeshError, Reason
from mesh.server import obey, open_server, service
from mesh.session import HubSession, open_session
from tests.support import eventually
from tests.support.waiting import free_port

pytestmark = pytest.mark.integration

TTL_S, GRACE_S = 30.0, 5.0


class FakeHub(registry_pb2_grpc.RegistryServiceServicer):
    """Answers as it is told to."""

    def __init__(self) -> None:
        self.address = ""
        self.came: list[float] = []
        self.statuses: list[int] = []
        self.here = 0
        self.ttl_s = TTL_S
        self.refusal: Reason | None = None
        self.mute = False
        self.detached = False
        self.orders: list[pb.StatusNotice] = []
        self.stop: Callable[[], Awaitable[None]]

    async def Session(
        self,
        request_iterator: AsyncIterator[pb.SessionRequest],
        context: "grpc.aio.ServicerContext[Any, Any]",
    ) -> AsyncIterator[pb.SessionResponse]:
        self.came.append(time.monotonic())
        self.here += 1
        try:
            async for request in request_iterator:
                if self.mute:
                    continue
                if self.refusal:
                    raise MeshError(self.refusal, "as the test wants it")
                if request.HasField("deregister"):
                    return
                yield self._answer(request)
                while self.orders:
                    yield pb.SessionResponse(notice=self.orders.pop())
        finally:
            self.here -= 1

    def _answer(self, request: pb.SessionRequest) -> pb.SessionResponse:
        match request.WhichOneof("kind"):
            case "register":
                self.statuses.append(request.register.instance.status)
                terms = {"heartbeat_interval_ms": 100, "lease_ttl_ms": self.ttl_s * 1000, "grace_ms": GRACE_S * 1000}
                whole = {name: int(value) for name, value in terms.items()}
                return pb.SessionResponse(registered=pb.Registered(**whole, detached=self.detached))
            case "status":
                self.statuses.append(request.status.status)
                return pb.SessionResponse(status_ack=pb.StatusAck(status=request.status.status))
        return pb.SessionResponse(heartbeat_ack=pb.HeartbeatAck(detached=self.detached))


@asynccontextmanager
async def fake_hub() -> AsyncIterator[FakeHub]:
    hub = FakeHub()
    offered = service(registry_pb2_grpc.add_RegistryServiceServicer_to_server, hub, "suho.hub.v1.RegistryService")
    async with open_server(ServerSettings(port=0), [offered]) as server:
        hub.address = f"127.0.0.1:{server.port}"
        hub.stop = lambda: server.stop(0)
        yield hub


@pytest_asyncio.fixture
async def hubs(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[list[FakeHub]]:
    """Two, which sessions try in this order."""
    monkeypatch.setattr(session_module, "in_own_order", lambda hubs: hubs)
    monkeypatch.setattr(session_module, "_ACK_TIMEOUT_S", 10)
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(fake_hub()) for _ in range(2)]


@asynccontextmanager
async def session_at(*addresses: str) -> AsyncIterator[HubSession]:
    settings = MeshSettings(instance="echo-1", hubs=addresses)
    async with open_session(settings, pb.Instance(id="echo-1", service="echo")) as session:
        yield session


async def test_the_next_hub_is_tried_at_once(hubs: list[FakeHub]) -> None:
    """One that refuses connections, then one that stops: the session stands elsewhere well within its grace."""
    async with session_at(f"127.0.0.1:{free_port()}", *(hub.address for hub in hubs)) as session:
        await session.set_status(pb.INSTANCE_STATUS_UP)
        assert (hubs[0].here, hubs[1].here) == (1, 0)
        left = time.monotonic()
        await hubs[0].stop()
        await eventually(lambda: hubs[1].came)
        assert hubs[1].came[0] - left < GRACE_S
        assert hubs[1].statuses == [pb.INSTANCE_STATUS_UP]


async def test_a_hub_that_falls_silent_is_left_before_the_lease_is_over(hubs: list[FakeHub]) -> None:
    """It goes on reading, but acknowledges nothing: a frozen hub, or one behind a broken network."""
    hubs[0].ttl_s = 4.0
    async with session_at(*(hub.address for hub in hubs)) as session:
        await session.set_status(pb.INSTANCE_STATUS_UP)
        fell_silent = time.monotonic()
        hubs[0].mute = True
        await eventually(lambda: hubs[1].came)
        assert hubs[1].came[0] - fell_silent < hubs[0].ttl_s
        await eventually(lambda: hubs[0].here == 0)


async def test_a_hub_that_takes_connections_and_says_nothing_is_passed(
    hubs: list[FakeHub], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a stopped process does."""
    monkeypatch.setattr(session_module, "_ANSWER_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as frozen:
        began = time.monotonic()
        async with session_at(f"127.0.0.1:{frozen.getsockname()[1]}", hubs[0].address):
            await eventually(lambda: hubs[0].came)
    assert hubs[0].came[0] - began > 0.25


async def test_hubs_that_lost_their_store_are_left_for_others(
    hubs: list[FakeHub], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once each; where all have lost it the session stands where it is, and looks around again after a while."""
    monkeypatch.setattr(session_module, "_LOOK_AROUND_S", 0.5)
    async with session_at(*(hub.address for hub in hubs)) as session:
        await session.set_status(pb.INSTANCE_STATUS_UP)
        detached = time.monotonic()
        hubs[1].detached = hubs[0].detached = True
        await eventually(lambda: len(hubs[0].came) > 1)
        assert hubs[0].came[1] - detached > 0.5
        assert hubs[1].came
        hubs[0].detached = False
        await eventually(lambda: (hubs[0].here, hubs[1].here) == (1, 0))
        stays = len(hubs[1].came)
        await asyncio.sleep(0.7)
        assert (hubs[0].here, len(hubs[1].came)) == (1, stays)


async def test_a_registration_that_can_not_be_written_is_tried_again(hubs: list[FakeHub]) -> None:
    """STORE_AWAY everywhere: again and again, until somebody takes it."""
    hubs[0].refusal = hubs[1].refusal = Reason.STORE_AWAY
    async with session_at(*(hub.address for hub in hubs)) as session:
        await eventually(lambda: len(hubs[0].came) > 2)
        hubs[1].refusal = None
        await eventually(lambda: hubs[1].statuses)
        await eventually(lambda: not session.away)


async def test_a_registration_that_is_wrong_ends_the_program(hubs: list[FakeHub]) -> None:
    """No other hub would take it either."""
    hubs[0].refusal = Reason.INVALID_ARGUMENT
    with pytest.raises(ExceptionGroup) as raised:
        async with session_at(*(hub.address for hub in hubs)):
            await asyncio.sleep(30)
    assert raised.group_contains(MeshError, match="as the test wants it")


async def test_without_a_hub_nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """What can not be told to anybody holds up neither a start nor a stop."""
    monkeypatch.setattr(session_module, "_ACK_TIMEOUT_S", 30)
    async with asyncio.timeout(10):
        async with session_at(f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}") as session:
            await session.set_status(pb.INSTANCE_STATUS_UP)
            await session.drain()


def order(status: "pb.InstanceStatus.ValueType") -> pb.StatusNotice:
    return pb.StatusNotice(status=status, reason="as the test wants it")


async def test_a_persons_order_is_told_and_taken_back(hubs: list[FakeHub]) -> None:
    """It holds until a hub says otherwise; a hub that does not know of it says so by saying nothing."""
    async with session_at(*(hub.address for hub in hubs)) as session:
        await session.set_status(pb.INSTANCE_STATUS_UP)
        hubs[0].orders.append(order(pb.INSTANCE_STATUS_DRAINING))
        await eventually(session.drained.is_set)
        hubs[0].orders.append(order(pb.INSTANCE_STATUS_UP))
        await eventually(lambda: not session.drained.is_set())
        hubs[0].orders.append(order(pb.INSTANCE_STATUS_OUT_OF_SERVICE))
        await eventually(session.drained.is_set)
        hubs[1].orders.append(order(pb.INSTANCE_STATUS_OUT_OF_SERVICE))
        changed = asyncio.create_task(session.drained.over())
        await hubs[0].stop()
        await eventually(lambda: hubs[1].came and not hubs[1].orders)
        await asyncio.sleep(0.3)
        assert not changed.done()
        hubs[1].refusal = Reason.SHUTTING_DOWN
        await eventually(lambda: hubs[1].here == 0)
        hubs[1].refusal = None
        await changed


async def test_streams_end_after_clients_have_heard() -> None:
    """A drain's order, the pause in which the last calls arrive, then the streams; back in service at once."""
    ordered, draining, calls = Draining(), Draining(), 0

    async def end_streams() -> None:
        nonlocal calls
        calls += 1

    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(obey(ordered, draining)), tasks.create_task(draining.each_time(end_streams))]
        for turn in (1, 2):
            began = time.monotonic()
            ordered.set()
            await draining.wait()
            assert time.monotonic() - began >= 0.1
            await eventually(lambda turn=turn: calls == turn)  # type: ignore[misc]
            ordered.clear()
            await draining.over()
        ordered.set()
        await asyncio.sleep(0)
        ordered.clear()
        await asyncio.sleep(0.15)
        assert calls == 2
        for task in running:
            task.cancel()
