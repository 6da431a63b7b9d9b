"""Signals of every kind, the same for the same seed, sent until each is answered."""

import asyncio
import random
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

import grpc
from suho.common.v1 import account_pb2, page_pb2
from suho.trading.v1 import order_pb2, trading_pb2, trading_pb2_grpc

from mesh.errors import MeshError

K = order_pb2.OrderKind
_OTHER = {
    order_pb2.ORDER_SIDE_BUY: order_pb2.ORDER_SIDE_SELL,
    order_pb2.ORDER_SIDE_SELL: order_pb2.ORDER_SIDE_BUY,
}
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
    kinds: Counter[str] = field(default_factory=Counter)
    _positions: list[order_pb2.Position] = field(default_factory=list)
    _working: list[order_pb2.WorkingOrder] = field(default_factory=list)
    # Of symbols that had a position, the last seen.
    _prices: dict[str, str] = field(default_factory=dict)

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
        self.kinds[K.Name(request.kind)] += 1
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
        """The more positions stand, the more are closed."""
        about = self._about_position, self._about_working, self._pending
        most = 0.05 + min(0.35, len(self._positions) / 100), 0.12, 0.15
        draw = self.chance.random()
        for make, share in zip(about, most, strict=True):
            if draw < share and (request := make()) is not None:
                return request
            draw -= share
        # Some have so little time that they expire on the way.
        valid_for_ms = self.chance.choice((0, 0, 0, 100))
        return self._entry(K.ORDER_KIND_MARKET, self.chance.choice(self.symbols), valid_for_ms=valid_for_ms)

    def _about_position(self) -> trading_pb2.SubmitSignalRequest | None:
        if not self._positions:
            return None
        position = self._positions.pop()
        draw = self.chance.random()
        if draw < 0.2:
            away = 0.9 if position.side == order_pb2.ORDER_SIDE_BUY else 1.1
            stop = _near(position.current_price, away)
            return self.signal(K.ORDER_KIND_MODIFY_POSITION, position=position.ticket, stop_loss=stop)
        opposite = next(
            (one for one in self._positions if (one.symbol, one.side) == (position.symbol, _OTHER[position.side])), None
        )
        if draw < 0.4 and opposite is not None:  # a hedging account's only
            self._positions.remove(opposite)
            return self.signal(K.ORDER_KIND_CLOSE_BY, position=position.ticket, opposite_position=opposite.ticket)
        return self.signal(K.ORDER_KIND_CLOSE, position=position.ticket)

    def _about_working(self) -> trading_pb2.SubmitSignalRequest | None:
        if not self._working:
            return None
        order = self._working.pop()
        if order.kind == K.ORDER_KIND_STOP_LIMIT or self.chance.random() < 0.6:
            return self.signal(K.ORDER_KIND_CANCEL_ORDER, order_ticket=order.ticket)
        is_below = (order.kind == K.ORDER_KIND_LIMIT) == (order.side == order_pb2.ORDER_SIDE_BUY)
        price = _near(order.price, 0.9999 if is_below else 1.0001)
        return self.signal(K.ORDER_KIND_MODIFY_ORDER, order_ticket=order.ticket, price=price)

    def _pending(self) -> trading_pb2.SubmitSignalRequest | None:
        """So near that most are filled within minutes, or far away; None: no price is known yet."""
        if not self._prices:
            return None
        symbol = self.chance.choice(sorted(self._prices))
        side = self.chance.choice(tuple(_OTHER))
        kind = self.chance.choice((K.ORDER_KIND_LIMIT, K.ORDER_KIND_LIMIT, K.ORDER_KIND_STOP, K.ORDER_KIND_STOP_LIMIT))
        away = self.chance.choice((0.0001, 0.0002, 0.1))
        is_below = (kind == K.ORDER_KIND_LIMIT) == (side == order_pb2.ORDER_SIDE_BUY)
        price = _near(self._prices[symbol], 1 - away if is_below else 1 + away)
        prices = {"price": price}
        if kind == K.ORDER_KIND_STOP_LIMIT:
            prices["limit_price"] = _near(price, 1 - away if side == order_pb2.ORDER_SIDE_BUY else 1 + away)
        return self._entry(kind, symbol, side=side, **prices)

    def _entry(self, kind: "K.ValueType", symbol: str, **fields: object) -> trading_pb2.SubmitSignalRequest:
        volume = f"0.0{self.chance.randint(1, 5)}"
        return self.signal(
            kind, **{"symbol": symbol, "side": self.chance.choice(tuple(_OTHER)), "volume": volume, **fields}
        )

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
            self._prices |= {position.symbol: position.current_price for position in one.snapshot.positions}
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


def _near(price: str, times: float) -> str:
    """So many times the price, with the digits of such a symbol."""
    near = Decimal(price) * Decimal(str(times))
    return str(round(near, 5 if near < 10 else 3 if near < 1000 else 2))


def _require_no_answer(error: grpc.aio.AioRpcError) -> None:
    """A refusal is a mistake of this test."""
    if error.code() not in _NO_ANSWER:
        raise AssertionError(f"refused: {MeshError.of(error)}")
