"""Puts together what an account's desk knows of the truth, and what keeps it safe: deals, doubts, differences, caps."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from pc_agent.domain.orders import Account, Entry, Signal
from pc_agent.domain.server_clock import ServerClock
from pc_agent.orders.account_books import AccountBooks
from pc_agent.orders.account_cargo import AccountCargo, Carry
from pc_agent.orders.account_control import AccountControl
from pc_agent.orders.account_watch import AccountWatch
from pc_agent.orders.deal_ledger import DealLedger
from pc_agent.orders.flattening import Flattening
from pc_agent.orders.ledger import Ledger
from pc_agent.orders.local_closes import LocalCloses
from pc_agent.orders.reconciler import Reconciler
from pc_agent.orders.safety import Safety
from pc_agent.orders.safety_file import KillSwitch, SafetyFile
from pc_agent.settings.live import Live
from pc_agent.terminal.messages import AccountFacts
from pc_agent.terminal.pool import TerminalPool

_DEMO, _HEDGING = 0, 2


@dataclass(frozen=True)
class SafetyState:
    """What all accounts of an agent share of their safety: files of its state folder."""

    switch: KillSwitch
    file: SafetyFile


class Truth:
    """One account's. Execution and lane 0 take from it what they need; `execute_by` closes the circle."""

    def __init__(
        self,
        facts: AccountFacts,
        ledger: Ledger,
        pool: TerminalPool,
        clock: ServerClock,
        live: Live,
        shared: SafetyState,
        settle_s: float,
        engine_is_there: Callable[[], bool],
        tell_market: Carry,
    ) -> None:
        account = Account(facts.server, facts.login)
        self._take: Callable[[Signal], Awaitable[Entry]] | None = None
        self.deals = DealLedger(ledger, account)
        books = AccountBooks(pool, self.deals, clock, lambda: _liveliest(pool))
        self.reconciler = Reconciler(ledger, self.deals, books, pool, clock, settle_s, self._settled)
        self.safety = Safety(
            account,
            facts.trade_mode == _DEMO,
            facts.margin_mode == _HEDGING,
            lambda: live.now,
            shared.switch,
            shared.file,
            engine_is_there,
            lambda: _why_disabled(pool),
            lambda: (self.watch.foreign(), self.watch.foreign_orders()),
            lambda flatten, name: self.control.withdraw(flatten, name),
        )
        self.books = books
        self.watch = AccountWatch(
            account, ledger, self.deals, books, self.reconciler, pool, lambda: live.now.reconcile_interval_s,
            self.safety.looked,
        )  # fmt: skip
        self.safety.has_shown = self.watch.has_shown
        closes = LocalCloses(account, self._execute)
        self.flattening = Flattening(self.watch, closes, self._expected, self.watch.has_shown)
        self.control = AccountControl(
            account, books, self.watch, self.deals, self.safety, closes, self.flattening, self.reconciler
        )
        self.cargo = AccountCargo(self.watch, self.deals, self.safety, tell_market)

    def execute_by(self, take: Callable[[Signal], Awaitable[Entry]]) -> None:
        """Who executes the agent's own signals."""
        self._take = take

    async def run(self) -> None:
        """For ever."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.reconciler.run(), name="reconciler")
            tasks.create_task(self.watch.run(), name="account watch")
            tasks.create_task(self.safety.run(), name="safety")

    def _expected(self) -> dict[str, frozenset[str]]:
        """Entries that the books are about to show: nobody knows when they tell of what is in doubt."""
        doubted = {entry.signal.signal_id for entry in self.reconciler.doubts}
        return {symbol: names - doubted for symbol, names in self.safety.expected.items() if names - doubted}

    def _settled(self, entry: Entry) -> None:
        """The books have told of it."""
        self.safety.note_result(entry)
        self.watch.ended(entry)

    async def _execute(self, signal: Signal) -> Entry:
        assert self._take is not None
        return await self._take(signal)


def _why_disabled(pool: TerminalPool) -> str:
    finding = pool.trading_disabled()
    return finding.sentence if finding else ""


def _liveliest(pool: TerminalPool) -> str:
    """The symbol that was quoted last when the symbols were read; empty: none is shown."""
    facts = max(pool.symbols.values(), key=lambda symbol: symbol.newest_msc, default=None)
    return facts.symbol if facts else ""
