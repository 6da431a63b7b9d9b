"""From a signal in the ledger to its result: INTENT on disk, then the terminal, then the result on disk."""

import asyncio
import time
from collections.abc import Callable, Container, Sequence
from dataclasses import replace
from typing import Protocol

from mesh.clock import unix_ns
from mesh.failpoint import failpoint
from mesh.log import get_logger
from pc_agent.domain.orders import Account, Entry, OrderState, Result, Signal, defect, mark_of
from pc_agent.domain.server_clock import Lease, ServerClock
from pc_agent.orders.ledger import Ledger
from pc_agent.orders.reconciler import Reconciler
from pc_agent.terminal.messages import OrderDone, OrderTask, PriceBounds, Sending
from pc_agent.terminal.worker import OrderListener

log = get_logger(__name__)

_LOOK_AGAIN_S = 0.02


class OrderTerminal(Protocol):
    """What executes: the terminal's worker."""

    @property
    def connected(self) -> bool: ...

    def send_orders(self, tasks: Sequence[OrderTask], listener: OrderListener) -> None: ...


class Permission:
    """May an order be sent now? The terminal answers, the engine's clock is known and its lease holds."""

    def __init__(self, terminal: OrderTerminal, clock: ServerClock, lease: Lease) -> None:
        self._terminal = terminal
        self.clock = clock
        self.lease = lease

    async def wait(self, not_after_unix_ms: int) -> bool:
        """Until it may; False when the signal's time ran out first."""
        while True:
            now = time.monotonic_ns()
            engine_ns = self.clock.unix_ns(now)
            if engine_ns is not None and engine_ns >= not_after_unix_ms * 1_000_000:
                return False
            if engine_ns is not None and self._terminal.connected and self.lease.holds(now):
                return True
            await asyncio.sleep(_LOOK_AGAIN_S)


class Execution:
    """Executes an account's signals; those of one symbol in their order."""

    def __init__(
        self,
        account: Account,
        symbols: Container[str],
        ledger: Ledger,
        terminal: OrderTerminal,
        permission: Permission,
        reconciler: Reconciler,
        told: Callable[[], None],
    ) -> None:
        self._account = account
        self._symbols = symbols
        self._ledger = ledger
        self._terminal = terminal
        self._permission = permission
        self._reconciler = reconciler
        self._told = told
        self._queues: dict[str, asyncio.Queue[Entry]] = {}
        self._answers: dict[str, asyncio.Future[Result]] = {}
        self._tasks: asyncio.TaskGroup | None = None
        self._taken_up = asyncio.Event()

    async def run(self) -> None:
        """Take up what an earlier agent left of this account, then execute what comes, for ever."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            for entry in await self._ledger.open_entries(self._account):
                await self._take_up(entry)
            self._taken_up.set()
            await asyncio.Event().wait()

    async def take(self, signals: Sequence[Signal], epoch: int, last_seq: int) -> None:
        """Write new signals to the ledger and execute them; ones it knows are reported again."""
        await self._taken_up.wait()
        entries = [self._first_entry(signal) for signal in signals if not signal.void]
        new = await self._ledger.receive(self._account, epoch, last_seq, entries)
        for entry in entries:
            if entry.signal.signal_id not in new:
                await self.repeat(entry.signal)
            elif entry.state is OrderState.UNKNOWN:
                self._reconciler.doubt(entry)
            elif entry.state is OrderState.RECEIVED:
                self._enqueue(entry)
        self._told()

    async def repeat(self, signal: Signal) -> None:
        """A place of the sequence that was taken before came again: say how it stands."""
        if not signal.void and not await self._ledger.repeat(signal.signal_id):
            log.error("a signal's place is taken, but not by it", signal_id=signal.signal_id, seq=signal.seq)
        self._told()

    def _first_entry(self, signal: Signal) -> Entry:
        if wrong := defect(signal):
            result = Result(OrderState.REJECTED, "INVALID_SIGNAL", wrong)
        elif signal.symbol not in self._symbols:
            result = Result(OrderState.REJECTED, "UNKNOWN_SYMBOL", f"the terminal shows no symbol {signal.symbol!r}")
        elif signal.redelivered:
            result = Result(OrderState.UNKNOWN, "LEDGER_LOST", "handed out before, but this ledger does not know it")
        else:
            result = Result(OrderState.RECEIVED)
        return Entry(signal, result, unix_ns())

    async def _take_up(self, entry: Entry) -> None:
        match entry.state:
            case OrderState.RECEIVED:
                self._enqueue(entry)
            case OrderState.INTENT | OrderState.SENT:
                message = "the agent ended between intent and result"
                await self._settle(entry, Result(OrderState.UNKNOWN, "AGENT_RESTARTED", message))
            case _:
                self._reconciler.doubt(entry)

    def _enqueue(self, entry: Entry) -> None:
        symbol = entry.signal.symbol
        if symbol not in self._queues:
            assert self._tasks is not None
            self._queues[symbol] = asyncio.Queue()
            self._tasks.create_task(self._work(self._queues[symbol]), name=f"orders of {symbol}")
        self._queues[symbol].put_nowait(entry)

    async def _work(self, entries: asyncio.Queue[Entry]) -> None:
        while True:
            await self._execute(await entries.get())

    async def _execute(self, entry: Entry) -> None:
        signal = entry.signal
        if not await self._permission.wait(signal.not_after_unix_ms):
            late = Result(OrderState.EXPIRED, "EXPIRED", "its time ran out before it could be sent")
            await self._settle(entry, late)
            return
        if self._reconciler.is_frozen(signal.symbol):
            message = f"an earlier order on {signal.symbol} is UNKNOWN; nothing is sent until that is resolved"
            await self._settle(entry, Result(OrderState.REJECTED, "SYMBOL_FROZEN", message))
            return
        task = self._task(signal)  # now: a lane that comes back meanwhile forgets the engine's clock
        entry = replace(entry, intent_unix_ns=unix_ns())
        await self._ledger.intend([signal.signal_id], entry.intent_unix_ns)
        self._told()
        failpoint("order_send.before")
        answer: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._answers[signal.signal_id] = answer
        self._terminal.send_orders([task], self)
        result = await answer
        failpoint("order_send.after")
        await self._settle(entry, result)

    def order_sending(self, sending: Sending) -> None:
        """See `OrderListener`."""
        self._ledger.note_sent(sending.signal_id, 0, sending.called_unix_ns)

    def order_done(self, done: OrderDone) -> None:
        """See `OrderListener`."""
        self._answers.pop(done.signal_id).set_result(done.result)

    def _task(self, signal: Signal) -> OrderTask:
        permission = self._permission
        expires_ns = permission.clock.monotonic_ns(signal.not_after_unix_ms * 1_000_000)
        assert expires_ns is not None
        return OrderTask(
            signal=signal,
            mark=mark_of(signal.signal_id),
            login=self._account.login,
            expires_ns=expires_ns,
            lease_until_ns=permission.lease.until_ns,
            bounds=PriceBounds(signal.deviation_points or 20),
        )

    async def _settle(self, entry: Entry, result: Result) -> None:
        await self._ledger.settle(entry.signal.signal_id, result)
        log.info("order", signal_id=entry.signal.signal_id, state=result.state, reason=result.reason)
        if result.state is OrderState.UNKNOWN:
            self._reconciler.doubt(replace(entry, result=result))
        self._told()
