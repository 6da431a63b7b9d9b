"""Fills the store from the terminals: what each health look tells of its broker, its installation and its account."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import duckdb

from mesh.clock import unix_ms
from mesh.log import get_logger
from pc_agent.domain.observation import TerminalLook, seen
from pc_agent.domain.symbols import SymbolFacts
from pc_agent.store.store import Store
from pc_agent.terminal.messages import Connected, HealthSeen

log = get_logger(__name__)

_LOOK_S = 1.0
_CODE_LENGTH = 3


class ObservedTerminal(Protocol):
    """What a terminal told of itself last."""

    @property
    def connected(self) -> bool: ...
    @property
    def facts(self) -> Connected | None: ...
    @property
    def seen(self) -> HealthSeen | None: ...
    @property
    def symbols(self) -> Mapping[str, SymbolFacts]: ...


@dataclass(frozen=True, slots=True)
class Limits:
    """Of an instance; 0: none."""

    cpu_percent: float
    memory_mb: float


class Observer:
    """Looks at `terminals` for whether there is news; a store that fails does not stop them."""

    def __init__(self, agent: str, store: Store, terminals: Sequence[tuple[ObservedTerminal, Limits]]) -> None:
        self._agent = agent
        self._store = store
        self._terminals = terminals
        self._noted: dict[int, object] = {}

    async def run(self) -> None:
        """For ever."""
        while True:
            for number, look in list(self._news()):
                await self._note(number, look)
            await asyncio.sleep(_LOOK_S)

    def _news(self) -> Iterator[tuple[int, TerminalLook]]:
        for number, (terminal, limits) in enumerate(self._terminals):
            told = (terminal.seen, terminal.connected, len(terminal.symbols))
            if terminal.facts is not None and terminal.seen is not None and told != self._noted.get(number):
                self._noted[number] = told
                yield number, _look(terminal.facts, terminal.seen, terminal.connected, terminal.symbols, limits)

    async def _note(self, number: int, look: TerminalLook) -> None:
        try:
            await self._store.observe(seen(self._agent, look), unix_ms(), self._agent)
        except duckdb.Error as error:
            self._noted.pop(number)
            log.error("the store does not take what a terminal tells", path=look.path, because=str(error)[:300])


def _look(
    facts: Connected, health: HealthSeen, connected: bool, symbols: Mapping[str, SymbolFacts], limits: Limits
) -> TerminalLook:
    account = facts.account
    return TerminalLook(
        path=health.path,
        connected=connected and health.health.connected,
        server=account.server,
        company=health.company,
        login=account.login,
        trade_mode=account.trade_mode,
        currency=account.currency,
        leverage=account.leverage,
        balance=health.balance,
        equity=health.equity,
        cpu_limit_percent=limits.cpu_percent,
        memory_limit_mb=limits.memory_mb,
        pairs=tuple(name for name, symbol in symbols.items() if _is_pair(symbol)),
        floating_spread=any(symbol.spread_float for symbol in symbols.values()),
    )


def _is_pair(symbol: SymbolFacts) -> bool:
    base, profit = symbol.currency_base, symbol.currency_profit
    return len(base) == len(profit) == _CODE_LENGTH and base != profit and symbol.symbol.startswith(base + profit)
