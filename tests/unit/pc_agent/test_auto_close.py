"""What is ours is closed before the trading day ends, where the person wants that."""

import asyncio
from dataclasses import replace

import pytest

from mesh.orders import Kind
from pc_agent.domain.orders import Account, Side, Signal
from pc_agent.orders import auto_close
from pc_agent.orders.auto_close import AutoClose
from tests.support import eventually

DAY_S = 86_400
ENTRY = Signal("s", Account("b", 1), 1, 1, False, False, "EURUSD", Side.BUY, "0.1", "", "", 0)


class Person:
    """Wants trades to be closed; the trade server's clock stands at `server_s`."""

    trade_confirmation = False
    auto_close_trades = True

    def __init__(self) -> None:
        self.server_s = 0
        self.closed: list[str] = []
        self.closing = AutoClose(self, 900, lambda: self.server_s, self.close_all)

    async def close_all(self, name: str) -> None:
        self.closed.append(name)


@pytest.mark.parametrize(
    ("server_s", "refused"), [(0, False), (9 * DAY_S - 901, False), (9 * DAY_S - 900, True), (9 * DAY_S, False)]
)
def test_no_entries_while_the_day_ends(server_s: int, refused: bool) -> None:
    """They would have to be closed at once; what makes positions smaller goes on, and all of it where nobody asked."""
    person = Person()
    person.server_s = server_s
    assert (person.closing.refusal(ENTRY) is not None) == refused
    assert person.closing.refusal(replace(ENTRY, kind=Kind.CLOSE)) is None
    person.auto_close_trades = False
    assert person.closing.refusal(ENTRY) is None


async def test_all_is_closed_again_and_again_until_the_day_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under another name each time: a close that failed is tried anew."""
    monkeypatch.setattr(auto_close, "_LOOK_S", 0.001)
    monkeypatch.setattr(auto_close, "_AGAIN_S", 0.001)
    person = Person()
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(person.closing.run())
        person.server_s = 9 * DAY_S - 10
        await eventually(lambda: len(person.closed) > 1, interval_s=0.002)
        running.cancel()
    assert person.closed[:2] == ["day-end-8-1", "day-end-8-2"]
