"""Signals, one after another or a hundred at once, and when each part of their way was done."""

import asyncio
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import grpc
import numpy as np
import numpy.typing as npt
from suho.common.v1 import account_pb2
from suho.trading.v1 import order_pb2, trading_pb2, trading_pb2_grpc

from bench.race import NoShowError

BATCH = 100
PAUSE_S = 0.05
# Long: on a busy machine the last of a hundred that come at once waits for all the others.
_WITHIN_S = 60.0
_SIDES = (order_pb2.ORDER_SIDE_BUY, order_pb2.ORDER_SIDE_SELL)
# In the order of the way; both clocks are this machine's.
PARTS = (
    ("submitted_unix_ns", "committed_unix_ns", "decide and commit"),
    ("committed_unix_ns", "sent_unix_ns", "engine puts it on the lane"),
    ("sent_unix_ns", "received_unix_ns", "the lane"),
    ("received_unix_ns", "intent_unix_ns", "agent checks it"),
    ("intent_unix_ns", "queued_unix_ns", "ledger (one fsync)"),
    ("queued_unix_ns", "called_unix_ns", "pipe and worker"),
    ("called_unix_ns", "answered_unix_ns", "order_send"),
    ("answered_unix_ns", "reported_unix_ns", "ledger and report"),
    ("reported_unix_ns", "recorded_unix_ns", "report stored"),
)


@dataclass(frozen=True)
class Spread:
    """Milliseconds."""

    p50: float
    p99: float

    @classmethod
    def of(cls, took_ms: Sequence[float] | npt.NDArray[np.float64]) -> "Spread":
        return cls(*(float(value) for value in np.percentile(took_ms, (50, 99))))


class Shooter:
    """Sends market orders to one account's agent, through the engine like anybody."""

    def __init__(self, channel: grpc.aio.Channel, account: account_pb2.AccountRef, symbol: str) -> None:
        self._stub: trading_pb2_grpc.TradingServiceAsyncStub = trading_pb2_grpc.TradingServiceStub(channel)
        self._account = account
        self._symbol = symbol

    async def one_by_one(self, count: int) -> list[order_pb2.Order]:
        """The orders in the end.

        Raises:
            NoShowError: one was not filled.
        """
        names = []
        for number in range(count):
            names.append(await self._send(number))
            await asyncio.sleep(PAUSE_S)
        return [await self._filled(name) for name in names]

    async def at_once(self, count: int = BATCH) -> list[order_pb2.Order]:
        """The same, all of them asked for side by side."""
        names = await asyncio.gather(*(self._send(number) for number in range(count)))
        return [await self._filled(name) for name in names]

    async def _send(self, number: int) -> str:
        name = str(uuid.uuid4())
        request = trading_pb2.SubmitSignalRequest(
            signal_id=name,
            account=self._account,
            kind=order_pb2.ORDER_KIND_MARKET,
            symbol=self._symbol,
            side=_SIDES[number % 2],
            volume="0.01",
            valid_for_ms=int(_WITHIN_S * 1000),
        )
        try:
            order = (await self._stub.SubmitSignal(request, timeout=_WITHIN_S)).order
        except grpc.aio.AioRpcError as error:
            raise NoShowError(f"a signal was not taken: {error.details()}") from None
        if order.state == order_pb2.ORDER_STATE_DENIED:
            raise NoShowError(f"the engine denied a signal: {order.message}")
        return name

    async def _filled(self, name: str) -> order_pb2.Order:
        watched = self._stub.WatchOrder(trading_pb2.WatchOrderRequest(signal_id=name), timeout=_WITHIN_S)
        order = order_pb2.Order()
        try:
            async for change in watched:
                order = change.order
        except grpc.aio.AioRpcError as error:
            raise NoShowError(f"a signal did not end within {_WITHIN_S:g} s: {error.details()}") from None
        if order.state != order_pb2.ORDER_STATE_FILLED:
            raise NoShowError(f"a signal ended {order_pb2.OrderState.Name(order.state)}: {order.message}")
        return order


def to_the_terminal(orders: Iterable[order_pb2.Order]) -> Spread:
    """From the commit to the call of `order_send`."""
    return _between(orders, "committed_unix_ns", "called_unix_ns")


def per_s(orders: Sequence[order_pb2.Order]) -> float:
    """From when the first was asked for until the last one's report was stored."""
    began = min(order.times.submitted_unix_ns for order in orders)
    return len(orders) / (max(order.times.recorded_unix_ns for order in orders) - began) * 1e9


def parts(orders: Iterable[order_pb2.Order]) -> Mapping[str, Spread]:
    """Each part of the way."""
    kept = list(orders)
    return {name: _between(kept, start, end) for start, end, name in PARTS}


def _between(orders: Iterable[order_pb2.Order], start: str, end: str) -> Spread:
    took = np.array([getattr(order.times, end) - getattr(order.times, start) for order in orders]) / 1e6
    return Spread.of(took)
