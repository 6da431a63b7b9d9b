"""Fills the store from the terminals: what each health look tells of its broker, its installation and its account."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
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
class Observed:
    """A terminal, the limits of its instance (0: none), and what a lot costs at its broker, as far as known."""

    terminal: ObservedTerminal
    cpu_limit_percent: float
    memory_limit_mb: float
    commission_per_lot: Callable[[], float | None]


class Observer:
    """Looks at `terminals` for whether there is news; a store that fails does not stop them."""

    def __init__(self, agent: str, store: Store, terminals: Sequence[Observed]) -> None:
        self._agent = agent
        self._store = store
        self._terminals = terminals
        self._noted: dict[int, object] = {}
        self._looks: dict[int, TerminalLook] = {}

    async def run(self) -> None:
        """For ever."""
        while True:
            for number, look in list(self._news()):
                self._looks[number] = look
                await self._note(number, look)
            await asyncio.sleep(_LOOK_S)

    async def leave(self) -> None:
        """Nobody looks at them any more."""
        for number, look in self._looks.items():
            await self._note(number, replace(look, connected=False))

    def _news(self) -> Iterator[tuple[int, TerminalLook]]:
        for number, one in enumerate(self._terminals):
            terminal, commission = one.terminal, one.commission_per_lot()
            told = (terminal.seen, terminal.connected, len(terminal.symbols), commission)
            if terminal.facts is not None and terminal.seen is not None and told != self._noted.get(number):
                self._noted[number] = told
                yield number, _look(one, terminal.facts, terminal.seen, commission)

    async def _note(self, number: int, look: TerminalLook) -> None:
        try:
            await self._store.observe(seen(self._agent, look), unix_ms(), self._agent)
        except duckdb.Error as error:
            self._noted.pop(number, None)
            log.error("the store does not take what a terminal tells", path=look.path, because=str(error)[:300])


def _look(observed: Observed, facts: Connected, health: HealthSeen, commission: float | None) -> TerminalLook:
    account, symbols = facts.account, observed.terminal.symbols
    return TerminalLook(
        path=health.path,
        connected=observed.terminal.connected and health.health.connected,
        server=account.server,
        company=health.company,
        login=account.login,
        trade_mode=account.trade_mode,
        currency=account.currency,
        leverage=account.leverage,
        balance=health.balance,
        equity=health.equity,
        cpu_limit_percent=observed.cpu_limit_percent,
        memory_limit_mb=observed.memory_limit_mb,
        pairs=tuple(name for name, symbol in symbols.items() if _is_pair(symbol)),
        floating_spread=any(symbol.spread_float for symbol in symbols.values()),
        commission_per_lot=commission,
    )


def _is_pair(symbol: SymbolFacts) -> bool:
    base, profit = symbol.currency_base, symbol.currency_profit
    return len(base) == len(profit) == _CODE_LENGTH and base != profit and symbol.symbol.startswith(base + profit)
