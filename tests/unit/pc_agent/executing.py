"""An execution with all that it needs: a terminal, a ledger, an engine that was heard of just now."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from mesh.clock import boot_ns
from pc_agent.config import AgentSettings
from pc_agent.domain.orders import Account, Entry, Mark, OrderState, Result, Side, Signal
from pc_agent.domain.refusal import Refusal
from pc_agent.domain.server_clock import Lease, ServerClock
from pc_agent.domain.symbols import SymbolFacts
from pc_agent.orders.admission import Admission, Policy
from pc_agent.orders.confirmations import Confirmations
from pc_agent.orders.execution import Execution
from pc_agent.orders.ledger import Ledger
from pc_agent.orders.permission import Permission
from pc_agent.settings.live import live_settings
from pc_agent.terminal.order_tasks import OrderDone, OrderTask, Sending
from pc_agent.terminal.worker import OrderListener
from tests.support import eventually

ACCOUNT = Account("broker-1", 42)
FILLED = Result(OrderState.FILLED, ticket=5, deal=6, volume="0.1", price="1.1", called_unix_ns=1, answered_unix_ns=2)
UNKNOWN = Result(OrderState.UNKNOWN, "TIMEOUT", called_unix_ns=1)
REQUOTE = Result(OrderState.REJECTED, "REQUOTE", called_unix_ns=1)
SYMBOLS = {name: SymbolFacts(name, 5, 0.01, 100.0, 0.01, 1.0, 0) for name in ("EURUSD", "USDJPY")}


class Terminal:
    """Fills what it is sent, but for what `says` tells of a signal, in turn; `silent`: it says nothing of it."""

    def __init__(self) -> None:
        self.connected = True
        self.messages: list[list[OrderTask]] = []
        self.says: dict[str, list[OrderDone]] = {}
        self.silent: set[str] = set()
        self.listener: OrderListener | None = None

    @property
    def sent(self) -> list[str]:
        return [task.signal_id for message in self.messages for task in message]

    def is_ready(self, symbol: str) -> bool:
        return self.connected

    def send_orders(self, tasks: Sequence[OrderTask], listener: OrderListener) -> None:
        self.messages.append(list(tasks))
        self.listener = listener
        for task in tasks:
            if task.signal_id in self.silent:
                continue
            listener.order_sending(Sending(task.signal_id, 1))
            said = self.says.get(task.signal_id)
            listener.order_done(said.pop(0) if said else OrderDone(task.signal_id, FILLED))


class Truth:
    """Remembers what is in doubt and what is watched; frozen symbols are the test's to name. Refuses nothing itself."""

    def __init__(self) -> None:
        self.doubted: list[Entry] = []
        self.watched: list[Entry] = []
        self.refuses: Refusal | None = None
        self.intents: list[str] = []
        self.recalled: list[int] = []
        self.results: list[tuple[str, OrderState]] = []

    def doubt(self, entry: Entry) -> None:
        self.doubted.append(entry)

    def watch(self, entry: Entry) -> None:
        self.watched.append(entry)

    def is_frozen(self, symbol: str) -> bool:
        return any(entry.signal.symbol == symbol for entry in self.doubted)

    def refusal(self, signal: Signal) -> Refusal | None:
        return self.refuses

    def note_intent(self, signal: Signal) -> None:
        self.intents.append(signal.signal_id)

    def recall(self, intents_unix_ns: Sequence[int]) -> None:
        self.recalled = list(intents_unix_ns)

    def note_result(self, entry: Entry) -> None:
        self.results.append((entry.signal.signal_id, entry.state))


class Desk:
    """An execution with all that it needs, the engine heard of just now."""

    trade_confirmation = False
    auto_close_trades = False

    def __init__(self, ledger: Ledger, folder: Path, symbols: Mapping[str, SymbolFacts] = SYMBOLS) -> None:
        self.ledger = ledger
        self.terminal, self.truth = Terminal(), Truth()
        self.ready = True
        self.clock, self.lease = ServerClock(), Lease()
        self.hear_of_the_engine()
        self.confirmations = Confirmations()
        # The trade server's clock less the engine's; None: not known.
        self.server_ahead_s: int | None = 7200
        settings = live_settings(AgentSettings(state_dir=folder))  # type: ignore[call-arg]
        # Of positions at the terminal.
        self.marks: set[Mark] = set()
        policy = Policy(
            ACCOUNT, False, lambda: symbols, lambda: settings, self, self.truth, self.truth.is_frozen,
            lambda: self.server_ahead_s, holds=lambda mark: mark in self.marks,
        )  # fmt: skip
        permission = Permission(self.terminal, self.clock, self.lease, lambda: self.ready)
        self.execution = Execution(Admission(policy, permission, self.confirmations), ledger, self.terminal, self.truth)

    def hear_of_the_engine(self, ahead_s: int = 0) -> None:
        now = boot_ns()
        self.clock.measure(now, now, time.time_ns() + ahead_s * 1_000_000_000)
        self.lease.renew(now, 60_000)

    async def take(self, *signals: Signal, last_seq: int = 1) -> None:
        await self.execution.ready()
        await self.execution.take(signals, 1, last_seq, 7)

    async def state(self, name: str) -> OrderState | None:
        entry = await self.ledger.entry(name)
        return entry.state if entry else None

    async def becomes(self, name: str, state: OrderState) -> None:
        async def is_so() -> bool:
            return await self.state(name) is state

        await eventually(is_so)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(self.execution.run())
            yield
            running.cancel()


def signal(name: str, symbol: str = "EURUSD", **changes: object) -> Signal:
    not_after_ms = time.time_ns() // 1_000_000 + 20_000
    made = Signal(name, ACCOUNT, 1, 1, False, False, symbol, Side.BUY, "0.1", "", "", not_after_ms)
    return replace(made, **changes)  # type: ignore[arg-type]
