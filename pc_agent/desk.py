"""Puts an account's desk together: its terminals, what executes on them, its stream of lane 0."""

import asyncio
import os
from collections.abc import Sequence

import grpc

from pc_agent.config import AgentSettings
from pc_agent.domain.orders import Account
from pc_agent.domain.server_clock import Lease, ServerClock
from pc_agent.domain.signal_sequence import SignalSequence
from pc_agent.domain.symbol_names import NameRules
from pc_agent.market.account_market import AccountMarket, Markets
from pc_agent.orders.admission import Admission, Policy
from pc_agent.orders.auto_close import AutoClose
from pc_agent.orders.confirmations import Confirmations, Preferences
from pc_agent.orders.execution import Execution
from pc_agent.orders.ledger import Ledger
from pc_agent.orders.permission import Permission
from pc_agent.orders.signal_lane import Role, SignalLane
from pc_agent.settings.live import Live
from pc_agent.settings.terminals import TerminalSettings
from pc_agent.terminal.locks import lock_file, other_locks
from pc_agent.terminal.messages import Adjust, Connected, WorkerTerms
from pc_agent.terminal.pool import TerminalPool
from pc_agent.terminal.worker import TerminalWorker
from pc_agent.truth import SafetyState, Truth


class Desk:
    """One account. `channel` is lane 0's connection, which all desks share."""

    def __init__(
        self,
        settings: AgentSettings,
        live: Live,
        terminals: Sequence[TerminalSettings],
        ledger: Ledger,
        safety: SafetyState,
        preferences: Preferences,
        confirmations: Confirmations,
        markets: Markets,
        channel: grpc.aio.Channel,
    ) -> None:
        self.pool = TerminalPool(
            [TerminalWorker(_terms(settings, live, one, terminals), settings.worker_hang_s) for one in terminals]
        )
        self._settings = settings
        self._live = live
        self._terminals = tuple(terminals)
        self._ledger = ledger
        self._safety = safety
        self._preferences = preferences
        self._confirmations = confirmations
        self._markets = markets
        # None: no terminal has answered yet.
        self.truth: Truth | None = None
        self._auto_close: AutoClose | None = None
        self._clock, self._lease = ServerClock(), Lease()
        self.signals = SignalLane(channel, settings.instance, ledger, self._clock, self._lease)

    @property
    def title(self) -> str:
        """Its terminals, in words."""
        return "the terminal" if self.pool.name == "terminal" else f"terminal {self.pool.name}"

    def missing(self) -> str:
        """What stands between the account and its trades, in words; empty: nothing."""
        if not self.pool.connected:
            return f"{self.title} {'is away' if self.pool.facts else 'has not answered yet'}"
        if missed := self.pool.symbols_missed():
            return missed
        if finding := self.pool.trading_disabled():
            return finding.sentence
        return "lane 0 has no engine" if self.signals.role is Role.DISCONNECTED else ""

    def finding(self) -> str:
        """What is wrong with one of the terminals though the account can be traded, and what to do; empty: nothing."""
        found = (f"terminal {worker.name}: {what}" for worker in self.pool.workers for what in worker.findings())
        return next(found, "") or (self._auto_close.finding() if self._auto_close else "")

    async def run(self) -> None:
        """Work until `stop`; lane 0 must say whose account it is."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.pool.run(), name=f"terminals {self.pool.name}")
            tasks.create_task(self._follow_settings(), name=f"settings of {self.pool.name}")
            await self._trade(await self.pool.first_facts(), tasks)

    async def stop(self) -> None:
        """Let the terminals go; then the account, which another agent may take over."""
        await self.pool.stop()
        await self.signals.stop()

    async def _trade(self, facts: Connected, tasks: asyncio.TaskGroup) -> None:
        account = Account(facts.account.server, facts.account.login)
        pool, ledger, signals = self.pool, self._ledger, self.signals
        sequence = SignalSequence(account, *await ledger.last_seq(account))
        settle_s = self._settings.reconcile_after_s
        market = AccountMarket(account.server, lambda: pool.symbols, self._markets)
        truth = Truth(
            facts.account, ledger, pool, self._clock, self._live, self._safety, settle_s,
            # Also while this agent stands by for another one.
            lambda: signals.role is not Role.DISCONNECTED,
            market.carry,
        )  # fmt: skip
        self.truth = truth
        pool.is_frozen = truth.reconciler.is_frozen
        truth.safety.stop_entries = pool.stop_entries
        closing = AutoClose(
            self._preferences,
            self._settings.auto_close_minutes * 60,
            truth.books.server_s,
            market.day_end_s,
            truth.watch,
            truth.flattening.flatten_symbols,
        )
        self._auto_close = closing
        policy = Policy(
            account=account,
            is_hedging=facts.account.is_hedging,
            symbols=lambda: pool.symbols,
            settings=lambda: self._live.now,
            preferences=self._preferences,
            guard=truth.safety,
            is_frozen=truth.reconciler.is_frozen,
            server_ahead_s=truth.books.ahead_s,
            checks=[closing.refusal, market.refusal],
            spread_bound=market.spread_bound,
            holds=truth.watch.holds,
            ended=[market.ended, truth.watch.ended],
        )
        permission = Permission(pool, self._clock, self._lease, truth.watch.compared.is_set)
        admission = Admission(policy, permission, self._confirmations)
        execution = Execution(admission, ledger, pool, truth.reconciler)
        truth.execute_by(execution.take_local)
        tasks.create_task(truth.run(), name=f"truth of {account}")
        tasks.create_task(execution.run(), name=f"execution {account}")
        tasks.create_task(closing.run(), name=f"day's end {account}")
        # What another ledger began, before this one or while its agent was away, shows in what the terminal holds.
        await truth.watch.compared.wait()
        lane = signals.run(lambda: pool.facts or facts, sequence, execution, truth.cargo)
        tasks.create_task(lane, name=f"lane 0 {account}")

    async def _follow_settings(self) -> None:
        known = self._live.now
        while True:
            known = await self._live.changed(known)
            self.pool.adjust(
                [
                    Adjust(
                        symbols=one.symbols or known.symbols,
                        health_s=known.health_interval_s,
                        execution_timeout_ms=known.execution_timeout_ms,
                        log_level=known.log_level,
                    )
                    for one in self._terminals
                ]
            )


def _terms(
    settings: AgentSettings, live: Live, terminal: TerminalSettings, pool: Sequence[TerminalSettings]
) -> WorkerTerms:
    """Of one of the `pool`."""
    places = [(one.module, one.path) for one in pool]
    return WorkerTerms(
        instance=settings.instance,
        name=terminal.name,
        lock_file=lock_file(settings.state_dir, terminal.module, terminal.path),
        other_locks=other_locks(settings.state_dir, [lock_file(settings.state_dir, *place) for place in places]),
        agent_pid=os.getpid(),
        module=terminal.module,
        path=terminal.path,
        portable=terminal.portable,
        login=terminal.login,
        server=terminal.server,
        password_file=terminal.password_file,
        symbols=terminal.symbols or live.now.symbols,
        symbols_look_s=settings.symbols_look_s,
        names=NameRules(terminal.symbol_names, terminal.symbol_prefixes, terminal.symbol_suffixes),
        idle_ms=settings.idle_ms,
        health_s=live.now.health_interval_s,
        execution_timeout_ms=live.now.execution_timeout_ms,
        read_timeout_ms=terminal.read_timeout_ms,
        initialize_timeout_ms=terminal.initialize_timeout_ms,
        cpu_limit_percent=terminal.cpu_limit_percent,
        memory_limit_mb=terminal.memory_limit_mb,
        log_level=settings.log_level,
        log_format=settings.log_format,
        log_file=settings.log_dir / f"worker-{terminal.name}.log" if settings.log_dir else None,
    )
