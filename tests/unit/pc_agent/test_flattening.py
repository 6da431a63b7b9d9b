"""Closing all that is ours, until nothing is."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from mesh.orders import Kind
from pc_agent.domain.books import BookOrder, BookPosition
from pc_agent.domain.orders import Account, Entry, OrderState, Result, Side, Signal
from pc_agent.orders import flattening as module
from pc_agent.orders.flattening import Flattening

OPEN = BookPosition(9, 0, "", "EURUSD", 0, 0.1, 1.1)
PENDING = BookOrder(5, 0, "", "EURUSD", 2, 1, 0, 0.1, 0.1)
CLOSED, REFUSED = Result(OrderState.FILLED, deal=7), Result(OrderState.REJECTED, "MARKET_CLOSED")


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LOOK_S", 0.001)
    monkeypatch.setattr(module, "_SHOWN_WITHIN_S", 60.0)


class Broker:
    """What is ours there; `shows` is what each look brings, one after another."""

    def __init__(self, *positions: BookPosition, orders: Sequence[BookOrder] = ()) -> None:
        self.positions, self.orders = list(positions), list(orders)
        self.shows: list[Callable[[], object]] = []
        self.answers: list[Result] = []
        self.expected: dict[str, set[str]] = {}
        self.deals: set[int] = set()
        self.asked: list[str] = []

    async def look(self) -> bool:
        if self.shows:
            self.shows.pop(0)()
        return True

    def ours(self) -> list[BookPosition]:
        return list(self.positions)

    def our_orders(self) -> list[BookOrder]:
        return list(self.orders)

    async def close(self, positions: Sequence[BookPosition], request_id: str) -> list[Entry]:
        return [self._answer(request_id, Kind.CLOSE, position=one.ticket) for one in positions]

    async def cancel(self, orders: Sequence[BookOrder], request_id: str) -> list[Entry]:
        return [self._answer(request_id, Kind.CANCEL_ORDER, order_ticket=one.ticket) for one in orders]

    def _answer(self, request_id: str, kind: Kind, position: int = 0, order_ticket: int = 0) -> Entry:
        self.asked.append(f"{request_id} {kind} {position or order_ticket}")
        signal = Signal("l", Account("s", 1), 0, 0, False, False, "EURUSD", Side.SELL, "", "", "", 1, kind=kind)
        signal = replace(signal, position=position, order_ticket=order_ticket)
        return Entry(signal, self.answers.pop(0) if self.answers else CLOSED, 1)

    async def flatten(self) -> list[OrderState]:
        flattening = Flattening(self, self, lambda: self.expected, self.deals.__contains__)
        return [entry.state for entry in await flattening.flatten("f")]


async def test_what_an_order_on_its_way_opens_is_closed_too() -> None:
    """Though nothing was there at first, and its terminal shows it later."""
    broker = Broker()
    broker.expected = {"EURUSD": {"s1"}}

    def fill() -> None:
        broker.positions.append(OPEN)
        broker.expected.clear()

    def closed() -> None:
        broker.positions.clear()
        broker.deals.add(7)

    broker.shows = [lambda: None, lambda: None, fill, closed]
    assert await broker.flatten() == [OrderState.FILLED]
    assert broker.asked == ["f CLOSE 9"]


async def test_a_pending_order_that_was_filled_meanwhile_is_closed() -> None:
    """Orders go first; its position has its ticket."""
    broker = Broker(orders=[PENDING])

    def fill() -> None:
        broker.orders.clear()
        broker.positions.append(replace(OPEN, ticket=5))

    broker.answers = [Result(OrderState.REJECTED, "UNKNOWN_ORDER")]
    broker.shows = [lambda: None, fill, broker.positions.clear]
    broker.deals.add(7)
    assert await broker.flatten() == [OrderState.REJECTED, OrderState.FILLED]
    assert broker.asked == ["f CANCEL_ORDER 5", "f-2 CLOSE 5"]


async def test_what_a_close_left_over_is_closed_again_once_its_deal_is_shown() -> None:
    """A picture from before it is no reason to close again."""
    broker = Broker(OPEN)
    broker.shows = [lambda: None, lambda: None, lambda: broker.deals.add(7), broker.positions.clear]
    assert await broker.flatten() == [OrderState.FILLED, OrderState.FILLED]
    assert broker.asked == ["f CLOSE 9", "f-2 CLOSE 9"]


async def test_what_was_refused_is_not_asked_for_again() -> None:
    """Nor is it waited for; a broker that closes without end is asked ten times."""
    broker = Broker(OPEN)
    broker.answers = [REFUSED]
    assert await broker.flatten() == [OrderState.REJECTED]
    broker.deals.add(7)
    assert await broker.flatten() == [OrderState.FILLED] * 10
