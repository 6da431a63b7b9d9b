"""What is ours is closed before the trading day ends, where the person wants that."""

import asyncio
from collections.abc import AsyncIterator, Callable, Set
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from mesh.orders import Kind
from pc_agent.domain.books import BookOrder, BookPosition
from pc_agent.domain.orders import Account, Side, Signal
from pc_agent.orders import auto_close
from pc_agent.orders.auto_close import AutoClose
from tests.support import eventually

DAY_S = 86_400
MIDNIGHT = 9 * DAY_S
ELEVEN = MIDNIGHT - 3600
ENTRY = Signal("s", Account("b", 1), 1, 1, False, False, "EURUSD", Side.BUY, "0.1", "", "", 0)


@pytest.fixture(autouse=True)
def _quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auto_close, "_LOOK_S", 0.001)
    monkeypatch.setattr(auto_close, "_AGAIN_S", 0.001)


class Person:
    """Wants trades to be closed; the trade server's clock stands at `server_s`, a symbol's quotes end at `ends`."""

    trade_confirmation = False
    auto_close_trades = True

    def __init__(self, *symbols: str, is_tradable: bool = True) -> None:
        self.server_s = 0
        self.ends: dict[str, int] = {}
        self.positions = [_position(ticket, symbol) for ticket, symbol in enumerate(symbols, 1)]
        self.is_tradable = is_tradable
        self.names: list[str] = []
        self.closing = AutoClose(self, 900, lambda: self.server_s, self._day_end_s, self, self.flatten)

    def _day_end_s(self, symbol: str, server_s: int) -> int:
        return self.ends.get(symbol, (server_s // DAY_S + 1) * DAY_S)

    async def look(self) -> bool:
        return True

    def ours(self) -> list[BookPosition]:
        return self.positions

    def our_orders(self) -> list[BookOrder]:
        return []

    async def flatten(self, symbols: Set[str], name: str) -> None:
        self.names.append(name)
        if self.is_tradable:
            self.positions = [one for one in self.positions if one.symbol not in symbols]

    def held(self) -> list[str]:
        return [one.symbol for one in self.positions]

    @asynccontextmanager
    async def closed(self) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(self.closing.run())
            yield
            running.cancel()


def _position(ticket: int, symbol: str) -> BookPosition:
    return BookPosition(ticket, 0, "", symbol, 0, 0.1, 1.1, opened_msc=(MIDNIGHT - 7200) * 1000)


@pytest.mark.parametrize(
    ("server_s", "refused"), [(0, False), (ELEVEN, False), (MIDNIGHT - 900, True), (MIDNIGHT, False)]
)
def test_no_entries_while_the_day_ends(server_s: int, refused: bool) -> None:
    """They would have to be closed at once; what makes positions smaller goes on, and all of it where nobody asked."""
    person = Person()
    person.server_s = server_s
    assert (person.closing.refusal(ENTRY) is not None) == refused
    assert person.closing.refusal(replace(ENTRY, kind=Kind.CLOSE)) is None
    person.auto_close_trades = False
    assert person.closing.refusal(ENTRY) is None


async def test_a_symbol_is_closed_before_its_own_quotes_end() -> None:
    """And no entry on it from then on; others stay until their time comes."""
    person = Person("EURUSD", "DAX")
    person.ends["DAX"] = ELEVEN
    person.server_s = ELEVEN - 901
    async with person.closed():
        await asyncio.sleep(0.01)
        assert person.held() == ["EURUSD", "DAX"]
        person.server_s += 1
        await eventually(lambda: person.held() == ["EURUSD"], interval_s=0.002)
        assert person.closing.refusal(replace(ENTRY, symbol="DAX"))
        assert person.closing.refusal(ENTRY) is None
        person.server_s = MIDNIGHT - 900
        await eventually(lambda: person.held() == [], interval_s=0.002)


async def test_what_could_not_be_closed_is_tried_anew_and_told() -> None:
    """Under another name each time; the next day it is said what stays open, once, until it is closed."""
    person = Person("EURUSD", is_tradable=False)
    person.server_s = MIDNIGHT - 10
    with capture_logs() as logs:
        async with person.closed():
            await eventually(lambda: len(set(person.names)) > 2, interval_s=0.002)
            assert not person.closing.finding()
            person.server_s = MIDNIGHT + 10
            await eventually(lambda: person.closing.finding().endswith(": 1"), interval_s=0.002)
            await asyncio.sleep(0.01)
            person.positions = []
            await eventually(_is_empty(person), interval_s=0.002)
    told = [line["ticket"] for line in logs if line["log_level"] == "warning"]
    assert told == [1]


async def test_what_is_open_behind_its_last_quotes_is_told() -> None:
    """Nothing is tried then: its market is closed."""
    person = Person("DAX")
    person.ends["DAX"] = ELEVEN
    person.server_s = ELEVEN + 60
    async with person.closed():
        await eventually(lambda: "1" in person.closing.finding(), interval_s=0.002)
        person.auto_close_trades = False
        await eventually(_is_empty(person), interval_s=0.002)
    assert person.names == []


def _is_empty(person: Person) -> Callable[[], bool]:
    return lambda: not person.closing.finding()
