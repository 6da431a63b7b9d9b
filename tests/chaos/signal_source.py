"""Signals of every kind, the same for the same seed, sent until each is answered."""

import asyncio
import random
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field

import grpc
from suho.common.v1 import account_pb2, page_pb2
from suho.trading.v1 import order_pb2, trading_pb2, trading_pb2_grpc

from mesh.errors import MeshError

K = order_pb2.OrderKind
_TIMEOUT_S = 5.0
_PAUSE_S = 0.2
# The position or order is gone, or no agent tells of any: nothing was done.
_REFUSED = (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.FAILED_PRECONDITION)
# Whether a call did what it was asked, these do not say: the same id asks again.
_NO_ANSWER = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNKNOWN,
)


@dataclass
class SignalSource:
    """Asks as people and programs do; what it learns of positions and orders it asks about too.

    What the engine denied is asked for in another way, so that as many as were wanted go their way.
    """

    stub: "trading_pb2_grpc.TradingServiceAsyncStub"
    account: account_pb2.AccountRef
    symbols: Sequence[str]
    chance: random.Random
    sent: list[str] = field(default_factory=list)
    denied: Counter[str] = field(default_factory=Counter)
    # What they were about had gone meanwhile: no order may stand for these.
    refused: list[str] = field(default_factory=list)
    repeated: int = 0
    _positions: list[order_pb2.Position] = field(default_factory=list)
    _working: list[order_pb2.WorkingOrder] = field(default_factory=list)

    @property
    def on_their_way(self) -> int:
        return len(self.sent) - len(self.refused) - self.denied.total()

    async def run(self, until: Callable[[], bool], at_once: int) -> None:
        """Send until that is true, `at_once` signals side by side."""

        async def send_some() -> None:
            while not until():
                if len(self.sent) % 20 == 0:
                    await self._look()
                order = await self.send(self._next())
                if order is not None and order.state == order_pb2.ORDER_STATE_DENIED:
                    self.denied[order.reason] += 1
                    await asyncio.sleep(_PAUSE_S)

        async with asyncio.TaskGroup() as tasks:
            for _ in range(at_once):
                tasks.create_task(send_some())

    async def send(self, request: trading_pb2.SubmitSignalRequest) -> order_pb2.Order | None:
        """Until it is answered; None: refused, because the position or order that it names is gone."""
        self.sent.append(request.signal_id)
        while True:
            try:
                return (await self.stub.SubmitSignal(request, timeout=_TIMEOUT_S)).order
            except grpc.aio.AioRpcError as error:
                if error.code() in _REFUSED:
                    self.refused.append(request.signal_id)
                    return None
                _require_no_answer(error)
                self.repeated += 1
                await asyncio.sleep(_PAUSE_S)

    def signal(self, kind: "K.ValueType", **fields: object) -> trading_pb2.SubmitSignalRequest:
        name = str(uuid.UUID(int=self.chance.getrandbits(128), version=4))
        return trading_pb2.SubmitSignalRequest(signal_id=name, account=self.account, kind=kind, **fields)  # type: ignore[arg-type]

    def _next(self) -> trading_pb2.SubmitSignalRequest:
        draw = self.chance.random()
        if draw < 0.15 and self._positions:
            return self.signal(K.ORDER_KIND_CLOSE, position=self._positions.pop().ticket)
        if draw < 0.25 and self._working:
            return self.signal(K.ORDER_KIND_CANCEL_ORDER, order_ticket=self._working.pop().ticket)
        side = self.chance.choice((order_pb2.ORDER_SIDE_BUY, order_pb2.ORDER_SIDE_SELL))
        symbol, volume = self.chance.choice(self.symbols), f"0.0{self.chance.randint(1, 5)}"
        if draw < 0.35:
            far = "0.5" if side == order_pb2.ORDER_SIDE_BUY else "5"
            return self.signal(K.ORDER_KIND_LIMIT, symbol=symbol, side=side, volume=volume, price=far)
        # Some have so little time that they expire on the way.
        valid_for_ms = self.chance.choice((0, 0, 0, 100))
        return self.signal(K.ORDER_KIND_MARKET, symbol=symbol, side=side, volume=volume, valid_for_ms=valid_for_ms)

    async def _look(self) -> None:
        """What there is to close and to cancel; nothing while nobody answers."""
        try:
            request = trading_pb2.ListPositionsRequest(account=self.account)
            accounts = (await self.stub.ListPositions(request, timeout=_TIMEOUT_S)).accounts
        except grpc.aio.AioRpcError as error:
            _require_no_answer(error)
            return
        for one in accounts:
            self._positions = [position for position in one.snapshot.positions if position.signal_id]
            self._working = [order for order in one.snapshot.orders if order.signal_id]
        self.chance.shuffle(self._positions)

    async def cancel_working(self) -> None:
        """Take out every pending order that the agents show."""
        await self._look()
        for order in self._working:
            await self.send(self.signal(K.ORDER_KIND_CANCEL_ORDER, order_ticket=order.ticket))

    async def orders(self) -> AsyncIterator[order_pb2.Order]:
        """All of the account's, newest first."""
        token = ""
        while True:
            page = page_pb2.PageRequest(size=1000, token=token)
            answer = await self.stub.ListOrders(
                trading_pb2.ListOrdersRequest(account=self.account, page=page), timeout=30
            )
            for order in answer.orders:
                yield order
            token = answer.page.next_token
            if not token:
                return


def _require_no_answer(error: grpc.aio.AioRpcError) -> None:
    """A refusal is a mistake of this test."""
    if error.code() not in _NO_ANSWER:
        raise AssertionError(f"refused: {MeshError.of(error)}")
