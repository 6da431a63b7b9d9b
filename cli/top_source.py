"""Where `suho top` has its view from: one watch, from whichever hub answers, and questions every other second."""

import asyncio
import time
from collections.abc import Awaitable
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

import grpc
from suho.hub.v1 import registry_pb2, registry_pb2_grpc, traffic_pb2, traffic_pb2_grpc
from suho.market.v1 import bridge_pb2, bridge_pb2_grpc
from suho.trading.v1 import trading_pb2, trading_pb2_grpc

from cli.call_route import address_of, offering
from cli.connection import NoPlatformError, find_mesh
from cli.hubs import ask_hubs
from cli.output import to_dict
from cli.top_view import HubStanding, View, lanes_of
from cli.watch import whole
from mesh.channel import direct_channel
from mesh.clock import unix_ms
from mesh.errors import MeshError, Reason
from mesh.waiting import backoff

_POLL_S = 2.0
_ASK_TIMEOUT_S = 1.5
_BRIDGE = "suho.market.v1.BridgeService"
_ENGINE = "suho.trading.v1.TradingService"

T = TypeVar("T")


class Source(Protocol):
    """What the screen needs."""

    @property
    def view(self) -> View: ...

    async def run(self) -> None:
        """Keep `view` fresh, for ever."""

    async def history(self, instance_id: str) -> list[dict[str, Any]] | str:
        """An instance's last 24 hours, or why they are not known."""


class LiveMesh:
    """The mesh of a state folder; it may go away, come back, and be another one then."""

    def __init__(self, state: Path, poll_s: float = _POLL_S) -> None:
        self.view = View(away="not asked yet", away_since_unix_ms=unix_ms())
        self._state = state
        self._poll_s = poll_s
        # As they came: for addresses.
        self._instances: dict[str, registry_pb2.Instance] = {}
        self._published: dict[tuple[str, str, int], int] = {}
        self._asked_at = 0.0

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow())
            tasks.create_task(self._ask_for_ever())

    async def once(self) -> None:
        """The view as it is now, as far as somebody answers."""
        try:
            async with asyncio.timeout(_ASK_TIMEOUT_S * 2):
                await self._watch(registry_pb2.WatchRequest(), once=True)
        except (grpc.aio.AioRpcError, NoPlatformError, TimeoutError) as error:
            self._tell_away(error)
        await self._ask()

    async def history(self, instance_id: str) -> list[dict[str, Any]] | str:
        request = registry_pb2.GetHealthHistoryRequest(instance_id=instance_id)
        try:
            async with direct_channel(self._hubs()) as channel:
                stub = registry_pb2_grpc.RegistryServiceStub(channel)
                answer = await stub.GetHealthHistory(request, timeout=_ASK_TIMEOUT_S)
        except (grpc.aio.AioRpcError, NoPlatformError) as error:
            return _why(error)
        return [to_dict(event) for event in answer.events]

    def _hubs(self) -> tuple[str, ...]:
        """Read anew each time: a platform that was started again may listen elsewhere."""
        return tuple(find_mesh(self._state)["hubs"])

    async def _follow(self) -> None:
        pauses = backoff()
        while True:
            request = registry_pb2.WatchRequest(start_revision=self.view.revision, progress=True)
            try:
                await self._watch(request)
            except (grpc.aio.AioRpcError, NoPlatformError) as error:
                if not self.view.away:
                    pauses = backoff()
                if _is_compacted(error):
                    self.view = replace(self.view, revision=0)
                else:
                    self._tell_away(error)
            await asyncio.sleep(next(pauses))

    async def _watch(self, request: registry_pb2.WatchRequest, once: bool = False) -> None:
        async with direct_channel(self._hubs()) as channel:
            changes = whole(registry_pb2_grpc.RegistryServiceStub(channel).Watch(request))
            async for response in changes:
                self._take(response)
                if once:
                    return

    def _take(self, response: registry_pb2.WatchResponse) -> None:
        instances = {} if response.snapshot else dict(self.view.instances)
        if response.snapshot:
            self._instances = {}
        for change in response.changes:
            key = change.instance.id
            if change.kind == registry_pb2.CHANGE_KIND_REMOVED:
                instances.pop(key, None)
                self._instances.pop(key, None)
            else:
                instances[key] = to_dict(change.instance)
                self._instances[key] = change.instance
        self.view = replace(self.view, away="", revision=response.revision, instances=instances)

    def _tell_away(self, error: Exception) -> None:
        since = self.view.away_since_unix_ms if self.view.away else unix_ms()
        self.view = replace(self.view, away=_why(error), away_since_unix_ms=since)

    async def _ask_for_ever(self) -> None:
        while True:
            await self._ask()
            await asyncio.sleep(self._poll_s)

    async def _ask(self) -> None:
        try:
            addresses = self._hubs()
        except NoPlatformError:
            addresses = ()
        async with asyncio.TaskGroup() as tasks:
            hubs = tasks.create_task(ask_hubs(addresses, _ask_hub))
            bridges = tasks.create_task(self._ask_bridges())
            engine = tasks.create_task(self._ask_engine())
        seconds, self._asked_at = time.monotonic() - self._asked_at, time.monotonic()
        lanes: list[dict[str, Any]] = []
        published: dict[tuple[str, str, int], int] = {}
        for status in bridges.result():
            of_bridge, counted = lanes_of(to_dict(status), self._published, seconds)
            lanes += of_bridge
            published |= counted
        self._published = published
        self.view = replace(
            self.view,
            hubs=tuple(_standing(item.of, item.answer, item.because) for item in hubs.result()),
            lanes=tuple(lanes),
            accounts=tuple(to_dict(account) for account in engine.result()),
        )

    async def _ask_bridges(self) -> list[bridge_pb2.GetBridgeStatusResponse]:
        async def ask(address: str) -> bridge_pb2.GetBridgeStatusResponse | None:
            async with direct_channel([address]) as channel:
                stub = bridge_pb2_grpc.BridgeServiceStub(channel)
                request = bridge_pb2.GetBridgeStatusRequest()
                return await _tried(stub.GetBridgeStatus(request, timeout=_ASK_TIMEOUT_S))

        async with asyncio.TaskGroup() as tasks:
            asking = [
                tasks.create_task(ask(address_of(bridge))) for bridge in offering(self._instances.values(), _BRIDGE)
            ]
        return [answer for task in asking if (answer := task.result()) is not None]

    async def _ask_engine(self) -> list[trading_pb2.AccountStatus]:
        """Any one knows all accounts."""
        for engine in offering(self._instances.values(), _ENGINE):
            async with direct_channel([address_of(engine)]) as channel:
                stub = trading_pb2_grpc.TradingServiceStub(channel)
                request = trading_pb2.ListAccountsRequest()
                answer = await _tried(stub.ListAccounts(request, timeout=_ASK_TIMEOUT_S))
            if answer is not None:
                return list(answer.accounts)
        return []


HubAnswers = tuple[registry_pb2.GetRegistryStateResponse | None, traffic_pb2.ListClientsResponse | None]


async def _ask_hub(channel: grpc.aio.Channel) -> HubAnswers:
    """None for what an older hub does not know yet."""
    registry = registry_pb2_grpc.RegistryServiceStub(channel)
    traffic = traffic_pb2_grpc.TrafficServiceStub(channel)
    state = await _known(registry.GetRegistryState(registry_pb2.GetRegistryStateRequest(), timeout=_ASK_TIMEOUT_S))
    clients = await _known(traffic.ListClients(traffic_pb2.ListClientsRequest(), timeout=_ASK_TIMEOUT_S))
    return state, clients


async def _known(call: Awaitable[T]) -> T | None:
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        if error.code() is grpc.StatusCode.UNIMPLEMENTED:
            return None
        raise


async def _tried(call: Awaitable[T]) -> T | None:
    """None: it is away. The registry tells why."""
    try:
        return await call
    except grpc.aio.AioRpcError:
        return None


def _standing(address: str, answer: HubAnswers | None, because: str) -> HubStanding:
    state, clients = answer or (None, None)
    return HubStanding(
        address,
        None if state is None else to_dict(state),
        None if clients is None else [to_dict(client) for client in clients.clients],
        because,
    )


def _is_compacted(error: Exception) -> bool:
    return isinstance(error, grpc.aio.AioRpcError) and MeshError.of(error).reason is Reason.REVISION_COMPACTED


def _why(error: Exception) -> str:
    if isinstance(error, grpc.aio.AioRpcError):
        refusal = MeshError.of(error)
        return "nobody listens there" if refusal.reason is Reason.UNREACHABLE else refusal.message
    return str(error) or "no answer in time"
