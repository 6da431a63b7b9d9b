"""What is known of a running platform: asked over gRPC like anyone else, and of the twin about its feeds."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from suho.database.v1 import order_service_pb2, order_service_pb2_grpc, tick_service_pb2, tick_service_pb2_grpc
from suho.hub.v1 import registry_pb2, registry_pb2_grpc
from suho.trading.v1 import order_pb2

from mesh.channel import direct_channel, mesh_channel
from mesh.config import MeshSettings
from pc_agent.twin.control import TwinUnreachableError, feed_status, hold_feeds
from pc_agent.twin.market import FeedStatus

_TIMEOUT_S = 5.0
_PATIENT_TIMEOUT_S = 60.0  # exact counts over many millions of ticks
# An order in one of these will not change by itself; UNKNOWN may wait for a person.
_NOT_OPEN = frozenset(
    order_pb2.OrderState.Value(f"ORDER_STATE_{name}")
    for name in ("DENIED", "PARTIALLY_FILLED", "FILLED", "REJECTED", "EXPIRED", "UNKNOWN", "NOT_EXECUTED")
)


@dataclass(frozen=True)
class Feed:
    """How far the twin has released a symbol."""

    sent: int
    total: int | None
    digits: int
    ended: bool


@dataclass(frozen=True)
class Stored:
    """What the database holds of a symbol; counts of rows."""

    stored: int = 0
    distinct: int = 0
    raw: int = 0
    quarantined: int = 0
    conflicting: int = 0
    digits: int = 0
    bid_points_sum: int = 0
    ask_points_sum: int = 0

    @property
    def accounted(self) -> int:
        return self.distinct + self.quarantined


@dataclass(frozen=True)
class Percentiles:
    """Milliseconds; None while nothing was measured."""

    p50: float | None = None
    p99: float | None = None


@dataclass(frozen=True)
class Orders:
    """Orders by state, without the states that have none."""

    by_state: Mapping[str, int] = field(default_factory=dict)
    open: int = 0
    executed_ms: Percentiles = field(default_factory=Percentiles)


class Facts:
    """Asks. A question that nobody answers raises Unanswered."""

    def __init__(self, hub: grpc.aio.Channel, mesh: grpc.aio.Channel, server: str, twin_folder: Path) -> None:
        self._registry = registry_pb2_grpc.RegistryServiceStub(hub)
        self._ticks = tick_service_pb2_grpc.TickServiceStub(mesh)
        self._orders = order_service_pb2_grpc.OrderServiceStub(mesh)
        self._server = server
        self._twin_folder = twin_folder

    async def up(self) -> set[tuple[str, int]]:
        """(service, process id) of every instance that is there and says of itself that it is UP.

        What the hub holds against one that came and went too often is nothing to start it again for.
        """
        request = registry_pb2.ListInstancesRequest()
        answer = await _ask(self._registry.ListInstances, request)
        up, expired = registry_pb2.INSTANCE_STATUS_UP, registry_pb2.INSTANCE_STATUS_EXPIRED
        return {
            (one.service, one.process_id)
            for one in answer.instances
            if one.reported_status == up and one.status != expired
        }

    async def feeds(self) -> dict[str, Feed]:
        """By symbol."""
        return await self._ask_twin(feed_status)

    async def hold_feeds(self) -> dict[str, Feed]:
        """By symbol, and nothing more is released."""
        return await self._ask_twin(hold_feeds)

    async def _ask_twin(self, question: Callable[[Path], dict[str, FeedStatus]]) -> dict[str, Feed]:
        try:
            status = await asyncio.to_thread(question, self._twin_folder)
        except TwinUnreachableError as error:
            raise UnansweredError(str(error)) from None
        return {symbol: Feed(one["sent"], one["total"], one["digits"], one["ended"]) for symbol, one in status.items()}

    async def stored(self, exact: bool) -> dict[str, Stored]:
        """By symbol, of this terminal's server; quick counts take repeated rows for ticks, and have no sums."""
        request = tick_service_pb2.GetTickStatsRequest(server=self._server, counts_only=not exact)
        answer = await _ask(self._ticks.GetTickStats, request, _PATIENT_TIMEOUT_S)
        return {
            one.symbol.symbol: Stored(
                one.stored,
                one.distinct if exact else one.raw,
                one.raw,
                one.quarantined,
                one.conflicting,
                one.digits,
                one.bid_points_sum,
                one.ask_points_sum,
            )
            for one in answer.stats
        }

    async def tick_stored_ms(self) -> Percentiles:
        """Read by the agent to stored."""
        answer = await _ask(self._ticks.GetSinkStatus, tick_service_pb2.GetSinkStatusRequest())
        return _percentiles(answer.tick_stored_p50_ms, answer.tick_stored_p99_ms)

    async def incidents(self) -> dict[str, int]:
        """How many of the newest thousand incidents are of each kind."""
        request = tick_service_pb2.ListTickIncidentsRequest(limit=1000)
        answer = await _ask(self._ticks.ListTickIncidents, request)
        return dict(Counter(incident.kind for incident in answer.incidents))

    async def orders(self) -> Orders:
        answer = await _ask(self._orders.GetOrderStats, order_service_pb2.GetOrderStatsRequest())
        return Orders(
            {order_pb2.OrderState.Name(one.state).removeprefix("ORDER_STATE_"): one.count for one in answer.orders},
            sum(one.count for one in answer.orders if one.state not in _NOT_OPEN),
            _percentiles(answer.signal_executed_p50_ms, answer.signal_executed_p99_ms),
        )


class UnansweredError(Exception):
    """Who was asked is not there now; it may be starting again."""


@asynccontextmanager
async def open_facts(hubs: tuple[str, ...], server: str, twin_folder: Path) -> AsyncIterator[Facts]:
    settings = MeshSettings(instance="suho-up", hubs=hubs)
    async with AsyncExitStack() as stack:
        hub = await stack.enter_async_context(direct_channel(hubs))
        mesh = await stack.enter_async_context(mesh_channel(settings, "suho-up", ["database"]))
        yield Facts(hub, mesh, server, twin_folder)


async def _ask(method: Callable[..., Any], request: Any, timeout_s: float = _TIMEOUT_S) -> Any:
    try:
        return await method(request, timeout=timeout_s)
    except grpc.aio.AioRpcError as error:
        raise UnansweredError(f"{error.code().name}: {error.details()}") from None


def _percentiles(p50: float, p99: float) -> Percentiles:
    return Percentiles(round(p50, 3), round(p99, 3)) if p99 else Percentiles()
