"""What the observer makes of terminals as they come, change and go."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path

import pytest

from pc_agent.domain.reference import Broker, Instance, Kind, Status, TradingAccount
from pc_agent.domain.symbols import SymbolFacts
from pc_agent.domain.terminal_health import TerminalHealth
from pc_agent.store.observer import Observed, Observer
from pc_agent.store.store import Store, open_store
from pc_agent.terminal.messages import AccountFacts, Connected, HealthSeen
from tests.support import eventually

HEALTH = TerminalHealth(True, True, False, True, True, True, 20.0, 0.0, 5000)
SEEN = HealthSeen(HEALTH, 1.0, "C:/MT5", "Broker Ltd", 1000.1, 999.9)


def pair(base: str, profit: str) -> SymbolFacts:
    return SymbolFacts(base + profit, 5, 0.01, 100, 0.01, 100_000, 0, currency_base=base, currency_profit=profit)


@dataclass
class Terminal:
    connected: bool = False
    facts: Connected | None = None
    seen: HealthSeen | None = None
    symbols: dict[str, SymbolFacts] = field(default_factory=dict)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with open_store(tmp_path) as opened:
        yield opened


async def test_a_terminal_fills_the_store_and_keeps_it_fresh(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing before it has answered; then broker, instance and account; money with each look; inactive at the end."""
    monkeypatch.setattr("pc_agent.store.observer._LOOK_S", 0.02)
    terminal = Terminal()
    commissions: list[float | None] = [None]
    observer = Observer("pc-1", store, [Observed(terminal, 50, 512, lambda: commissions[-1])])

    async def found(kind: Kind) -> object:
        records = await store.records((kind,))
        return records[0].record.content if records else None

    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(observer.run())
        terminal.symbols = {one.symbol: one for one in (pair("EUR", "USD"), replace(pair("DE", "40"), symbol="DE40"))}
        terminal.facts = Connected(AccountFacts("Broker-Live", 42, 2, 2, "EUR", 200), tuple(terminal.symbols.values()))
        terminal.seen, terminal.connected = SEEN, True
        await eventually(lambda: found(Kind.ACCOUNT))
        broker, instance = await found(Kind.BROKER), await found(Kind.INSTANCE)
        assert isinstance(broker, Broker)
        assert isinstance(instance, Instance)
        assert (broker.name, broker.currency_pairs_supported) == ("Broker Ltd", ("EURUSD",))
        assert (instance.path, instance.cpu_limit_percent, instance.memory_limit_mb) == ("C:/MT5", 50, 512)

        async def account() -> TradingAccount:
            content = await found(Kind.ACCOUNT)
            assert isinstance(content, TradingAccount)
            return content

        assert ((await account()).equity, (await account()).status) == (Decimal("999.9"), Status.ACTIVE)
        terminal.seen = replace(SEEN, equity=1001.5)
        commissions.append(7.0)

        async def is_fresh() -> bool:
            broker = await found(Kind.BROKER)
            return isinstance(broker, Broker) and (broker.commission_per_lot, (await account()).equity) == (
                7,
                Decimal("1001.5"),
            )

        await eventually(is_fresh)
        running.cancel()
    await observer.leave()
    left = await found(Kind.INSTANCE)
    assert isinstance(left, Instance)
    assert (left.status, (await account()).status) == (Status.INACTIVE, Status.INACTIVE)
