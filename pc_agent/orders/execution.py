"""From a signal in the ledger to its result: INTENT on disk, then the terminal, then the result on disk."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from mesh.clock import boot_ns, unix_ns
from mesh.failpoint import failpoint
from mesh.log import get_logger
from pc_agent.domain.order_queues import Order, OrderQueues
from pc_agent.domain.orders import MAX_SIGNALS, Entry, OrderState, Result, Signal
from pc_agent.orders.admission import Admission
from pc_agent.orders.ledger import Ledger
from pc_agent.orders.unconfirmed import Unconfirmed
from pc_agent.terminal.order_tasks import OrderDone, OrderTask, Sending
from pc_agent.terminal.worker import OrderListener

log = get_logger(__name__)

_LOOK_AGAIN_S = 0.02
# A broker that refuses a price so often does not want it.
_MOST_ATTEMPTS = 10
_RESTARTED = Result(OrderState.UNKNOWN, "AGENT_RESTARTED", "the agent ended between intent and result")


class OrderTerminal(Protocol):
    """What executes: the account's terminals."""

    def send_orders(self, tasks: Sequence[OrderTask], listener: OrderListener) -> None: ...


class Doubts(Protocol):
    """What finds out about orders that may have been executed, and follows pending ones."""

    def doubt(self, entry: Entry) -> None: ...
    def watch(self, entry: Entry) -> None: ...


class Execution:
    """Executes an account's signals; those of one symbol in their order."""

    def __init__(self, admission: Admission, ledger: Ledger, terminal: OrderTerminal, doubts: Doubts) -> None:
        self._admission = admission
        self._ledger = ledger
        self._terminal = terminal
        self._doubts = doubts
        self._queues = OrderQueues()
        # Symbols of signals that are being written to the ledger: in no queue yet, and before what comes now.
        self._arriving: Counter[str] = Counter()
        self._unconfirmed = Unconfirmed(admission, self._wait, self._end)
        self._awaited: dict[str, asyncio.Future[Entry]] = {}
        self._tasks: asyncio.TaskGroup | None = None
        self._taken_up = asyncio.Event()
        self._nudged = asyncio.Event()

    @property
    def queued(self) -> int:
        """Orders that wait, or that the terminal has."""
        return len(self._queues) + len(self._unconfirmed)

    async def run(self) -> None:
        """Take up what an earlier agent left of this account, then execute what comes, for ever."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            await self._admission.recall(self._ledger)
            for entry in await self._ledger.open_entries(self._admission.account):
                await self._take_up(entry)
            self._taken_up.set()
            while True:
                await self._dispatch()
                await self._nudge()

    async def ready(self) -> None:
        """What was left is taken up: signals may come."""
        await self._taken_up.wait()

    def take(self, signals: Sequence[Signal], epoch: int, last_seq: int, received_unix_ns: int) -> asyncio.Task[None]:
        """Write new signals to the ledger and execute them; ones it knows are reported again.

        The task is done when they are written. It is the execution's own, and outlives who waits for it.
        """
        assert self._tasks is not None
        return self._tasks.create_task(self._take(signals, epoch, last_seq, received_unix_ns), name="signals")

    async def _take(self, signals: Sequence[Signal], epoch: int, last_seq: int, received_unix_ns: int) -> None:
        failpoint("lane.received")
        known, fresh = self._sort(signals)
        orders = self._admission.judge(fresh, epoch, received_unix_ns, self._is_idle)
        for order in orders:
            if order.entry.state is OrderState.INTENT:
                self._queues.fly(order)
        self._arriving += (arriving := Counter(order.symbol for order in orders))
        failpoint("ledger.intent.before")
        new = await self._ledger.receive(self._admission.account, epoch, last_seq, [order.entry for order in orders])
        failpoint("ledger.intent.after")
        self._arriving -= arriving
        self._hand_over([order for order in orders if order.signal_id in new and self._begin(order)])
        for order in orders:
            if order.signal_id not in new:
                self._forget(order)
                known.append(order.entry.signal)
        for signal in known:
            await self.repeat(signal)

    async def take_local(self, signal: Signal) -> Entry:
        """Execute a signal that the agent made itself; how it stands when the terminal is done with it."""
        await self.ready()
        (order,) = self._admission.judge([signal], signal.epoch, unix_ns(), lambda _: False)
        is_new = not self._is_under_way(signal.signal_id) and await self._ledger.add(order.entry)
        if not is_new or order.entry.is_final:
            return await self._ledger.entry(signal.signal_id) or order.entry
        done: asyncio.Future[Entry] = asyncio.get_running_loop().create_future()
        self._awaited[signal.signal_id] = done
        self._begin(order)
        return await done

    async def repeat(self, signal: Signal) -> None:
        """A place of the sequence that was taken before came again: say how it stands."""
        if not signal.void and not await self._ledger.repeat(signal.signal_id):
            log.error("a signal's place is taken, but not by it", signal_id=signal.signal_id, seq=signal.seq)

    # what the terminal says

    def order_sending(self, sending: Sending) -> None:
        """See `OrderListener`."""
        if order := self._queues.flying(sending.signal_id):
            self._ledger.note_sent(sending.signal_id, order.queued_unix_ns, sending.called_unix_ns)

    def order_done(self, done: OrderDone) -> None:
        """See `OrderListener`."""
        order = self._queues.flying(done.signal_id)
        if order is None:
            log.error("the terminal speaks of an order that it does not have", signal_id=done.signal_id)
            return
        failpoint("order_send.after")
        if done.again is not None and order.attempts < _MOST_ATTEMPTS:
            order.attempts += done.result.called_unix_ns > 0
            order.first_price = done.again.first_price or order.first_price
            order.not_before_ns = boot_ns() + done.again.pause_ms * 1_000_000
            self._admission.withdrawn(order)
            self._wait(order)
        else:
            self._end(order, done.result)

    # on its way

    async def _take_up(self, entry: Entry) -> None:
        if entry.state in (OrderState.INTENT, OrderState.SENT):
            entry = await self._ledger.settle(entry.signal.signal_id, _RESTARTED)
        self._begin(Order(entry))

    def _begin(self, order: Order) -> bool:
        """A signal that is in the ledger now; True: it is to be sent at once."""
        entry = order.entry
        match entry.state:
            case OrderState.INTENT:
                return True
            case OrderState.RECEIVED:
                if self._unconfirmed.take(order):
                    self._nudged.set()
                else:
                    self._wait(order)
            case OrderState.UNKNOWN:
                self._admission.doubted(entry)
                self._doubts.doubt(entry)
            case _ if not entry.is_final:
                self._doubts.watch(entry)
        return False

    def _sort(self, signals: Sequence[Signal]) -> tuple[list[Signal], list[Signal]]:
        """Those that are under way already, and those that may be new."""
        known: list[Signal] = []
        fresh: dict[str, Signal] = {}
        for signal in signals:
            if signal.signal_id in fresh or self._is_under_way(signal.signal_id):
                known.append(signal)
            elif not signal.void or self._admission.is_held(signal):
                fresh[signal.signal_id] = replace(signal, void=False)
        return known, list(fresh.values())

    def _forget(self, order: Order) -> None:
        """The ledger knew it."""
        if order.entry.state is OrderState.INTENT:
            self._queues.end(order)
            self._admission.withdrawn(order)

    def _is_idle(self, symbol: str) -> bool:
        return not self._arriving[symbol] and self._queues.is_idle(symbol) and self._unconfirmed.is_idle(symbol)

    def _is_under_way(self, signal_id: str) -> bool:
        return signal_id in self._queues or signal_id in self._unconfirmed

    def _wait(self, order: Order) -> None:
        self._queues.wait(order)
        self._nudged.set()

    async def _nudge(self) -> None:
        """Until something happened, or it is time to look again at what waits."""
        try:
            async with asyncio.timeout(_LOOK_AGAIN_S if self._queues.any_waits or self._unconfirmed else None):
                await self._nudged.wait()
        except TimeoutError:
            return
        finally:
            self._nudged.clear()

    async def _dispatch(self) -> None:
        """Send what may be sent now, and end what can not be sent any more."""
        self._unconfirmed.end_late()
        now = unix_ns()
        sent, intents = self._let_go(now)
        if intents:
            failpoint("ledger.intent.before")
            await self._ledger.intend(intents, now)
            failpoint("ledger.intent.after")
        self._hand_over(sent)

    def _let_go(self, now_unix_ns: int) -> tuple[list[Order], list[str]]:
        """What goes in one message, and which of it is new to the ledger as INTENT; each counts for those behind it."""
        sent: list[Order] = []
        intents: list[str] = []
        for line in self._queues.due():
            for order in line:
                if len(sent) == MAX_SIGNALS:  # the rest of its symbol goes when these are done, other symbols next
                    self._nudged.set()
                    return sent, intents
                verdict = self._admission.may_go(order)
                if verdict is None:
                    break
                if verdict.state is not OrderState.INTENT:
                    self._end(order, verdict)
                    continue
                if order.entry.state is OrderState.RECEIVED:
                    intents.append(order.signal_id)
                self._admission.intended(order, now_unix_ns)
                self._queues.fly(order)
                sent.append(order)
        return sent, intents

    def _hand_over(self, orders: Sequence[Order]) -> None:
        """One message to the terminal; from here on each may be executed."""
        if not orders:
            return
        failpoint("order_send.before")
        now = unix_ns()
        for order in orders:
            order.queued_unix_ns = now
        self._terminal.send_orders([self._admission.task(order) for order in orders], self)
        failpoint("pipe.sent")

    def _end(self, order: Order, result: Result) -> None:
        """What waits behind one in doubt must find its symbol frozen: that is let go when the doubt is known."""
        if result.state is not OrderState.UNKNOWN:
            self._queues.end(order)
            self._nudged.set()
        assert self._tasks is not None
        self._tasks.create_task(self._settle(order, result), name=f"outcome of {order.signal_id}")

    async def _settle(self, order: Order, result: Result) -> None:
        failpoint("ledger.outcome.before")
        entry = await self._ledger.settle(
            order.signal_id,
            result,
            queued_unix_ns=order.queued_unix_ns,
            clock_offset_ns=self._admission.clock_offset_ns(),
        )
        failpoint("ledger.outcome.after")
        log.info("order", signal_id=order.signal_id, state=result.state, reason=result.reason)
        self._admission.ended(entry)
        if result.state is OrderState.UNKNOWN:
            self._doubts.doubt(entry)
            self._queues.end(order)
            self._nudged.set()
        elif not entry.is_final:
            self._doubts.watch(entry)
        if (awaited := self._awaited.pop(order.signal_id, None)) and not awaited.done():
            awaited.set_result(entry)
