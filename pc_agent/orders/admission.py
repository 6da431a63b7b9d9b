"""Whether a signal may be executed, and now: what its account, its symbol, the PC's safety and the clock say."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from mesh.clock import boot_ns, unix_ns
from mesh.orders import ENTRIES
from pc_agent.domain.live_settings import LiveSettings
from pc_agent.domain.order_queues import Order
from pc_agent.domain.orders import Account, Entry, Mark, OrderState, Result, Signal, mark_of
from pc_agent.domain.price_checks import PriceBounds
from pc_agent.domain.refusal import Check, Refusal
from pc_agent.domain.safety import RATE_S
from pc_agent.domain.symbols import SymbolFacts
from pc_agent.domain.validation import Terms, refusals
from pc_agent.orders.confirmations import Confirmations, Preferences
from pc_agent.orders.ledger import Ledger
from pc_agent.orders.permission import Permission
from pc_agent.terminal.order_tasks import OrderTask

_GO = Result(OrderState.INTENT)
_LATE = Result(OrderState.EXPIRED, "EXPIRED", "its time ran out before it could be sent")
_LEDGER_LOST = Result(OrderState.UNKNOWN, "LEDGER_LOST", "handed out before, but this ledger does not know it")
_CLOCK_UNKNOWN = (
    "no quote has moved since this agent started, so what time it is at the broker is not known: send it again when the"
    " market moves, or without an expiry"
)
_WITHDRAWN = Result(OrderState.REJECTED, "NOT_SENT", "it was not executed this time")


class Guard(Protocol):
    """The PC's own safety. It is told of each order that is about to be sent, and of what came of it; of those in doubt
    and of when entries were begun of late, though an agent before this one did it.
    """

    def refusal(self, signal: Signal) -> Refusal | None: ...
    def note_intent(self, signal: Signal) -> None: ...
    def note_result(self, entry: Entry) -> None: ...
    def recall(self, intents_unix_ns: Sequence[int]) -> None: ...


@dataclass(frozen=True, slots=True)
class Policy:
    """What an account's orders are judged by; `checks` are others' that are asked right before INTENT.

    `spread_bound`: the widest spread in points that an entry on a symbol is made at, 0: any. `holds`: a position or
    order at the terminal bears the mark. `server_ahead_s`: the trade server's clock less the engine's; None: not known.
    `ended` hears of outcomes.
    """

    account: Account
    is_hedging: bool
    symbols: Callable[[], Mapping[str, SymbolFacts]]
    settings: Callable[[], LiveSettings]
    preferences: Preferences
    guard: Guard
    is_frozen: Callable[[str], bool]
    server_ahead_s: Callable[[], int | None]
    checks: Sequence[Check] = ()
    spread_bound: Callable[[str], int] | None = None
    holds: Callable[[Mark], bool] = lambda _: False
    ended: Sequence[Callable[[Entry], None]] = ()


class Admission:
    """Judges an account's signals."""

    def __init__(self, policy: Policy, permission: Permission, confirmations: Confirmations) -> None:
        self.account = policy.account
        self.confirmations = confirmations
        self._policy = policy
        self._permission = permission

    def judge(
        self, signals: Sequence[Signal], epoch: int, received_unix_ns: int, is_idle: Callable[[str], bool]
    ) -> list[Order]:
        """New entries for the ledger. INTENT: to be sent as soon as that is on disk; RECEIVED: not yet.

        `is_idle`: nothing of the symbol is before them.
        """
        policy, offset_ns = self._policy, self.clock_offset_ns()
        terms = Terms(policy.account, epoch, policy.symbols(), policy.is_hedging, self._permission.engine_ms())
        busy = {signal.symbol for signal in signals if not is_idle(signal.symbol)}
        orders = []
        for signal, refused in zip(signals, refusals(signals, terms), strict=True):
            order = Order(Entry(signal, Result(OrderState.RECEIVED), received_unix_ns, clock_offset_ns=offset_ns))
            orders.append(order)
            if signal.redelivered:  # that it can not be executed now proves nothing of then
                order.entry = replace(order.entry, result=_LEDGER_LOST)
                busy.add(signal.symbol)
            elif refused is not None:
                order.entry = replace(order.entry, result=Result(OrderState.REJECTED, *refused))
            elif self.asks(signal) or signal.symbol in busy or (verdict := self.may_go(order)) is None:
                busy.add(signal.symbol)
            elif verdict.state is OrderState.INTENT:
                self.intended(order, time.time_ns())
            else:
                order.entry = replace(order.entry, result=verdict)
        return orders

    def may_go(self, order: Order) -> Result | None:
        """INTENT: it is to be sent now; None: not yet; else what its end is. `intended` must follow an INTENT."""
        signal, now = order.entry.signal, boot_ns()
        if self.is_late(order):
            return _LATE
        if order.not_before_ns > now or not self._permission.holds(signal):
            return None
        if refused := self._refusal(signal):
            return Result(OrderState.REJECTED, *refused)
        order.expires_ns = order.expires_ns or self._permission.expires_ns(signal)
        return _GO

    def is_late(self, order: Order) -> bool:
        """Its time is known to be over."""
        return self._permission.is_late(order.entry.signal) or 0 < order.expires_ns <= boot_ns()

    def is_held(self, signal: Signal) -> bool:
        """Handed out before to a ledger that is not this one, and the terminal still holds what came of it."""
        return signal.redelivered and self._policy.holds(mark_of(signal.signal_id))

    def asks(self, signal: Signal) -> bool:
        """The person must confirm it. What makes nothing larger never waits for him; what the agent does by itself was
        his own word.
        """
        return signal.seq > 0 and signal.kind in ENTRIES and self._policy.preferences.trade_confirmation

    def until_unix_ms(self, order: Order) -> int:
        """When its time is over, by the PC's clock."""
        return order.entry.signal.not_after_unix_ms - self.clock_offset_ns() // 1_000_000

    def clock_offset_ns(self) -> int:
        """The engine's clock less the PC's; 0: not known."""
        return self._permission.clock_offset_ns()

    def intended(self, order: Order, now_unix_ns: int) -> None:
        """It is about to be sent."""
        entry = order.entry
        self._policy.guard.note_intent(entry.signal)
        if entry.state is OrderState.RECEIVED:
            order.entry = replace(entry, result=_GO, intent_unix_ns=now_unix_ns)

    def withdrawn(self, order: Order) -> None:
        """It was proven not to have been executed, and is judged anew before it is sent again."""
        self._policy.guard.note_result(replace(order.entry, result=_WITHDRAWN))

    def ended(self, entry: Entry) -> None:
        """What came of it."""
        self._policy.guard.note_result(entry)
        for hear in self._policy.ended:
            hear(entry)

    def doubted(self, entry: Entry) -> None:
        """It may have been executed, and not by this agent."""
        self._policy.guard.note_result(entry)

    async def recall(self, ledger: Ledger) -> None:
        """What an agent before this one did of late counts too."""
        self._policy.guard.recall(await ledger.entries_since(self.account, unix_ns() - RATE_S * 1_000_000_000))

    def task(self, order: Order) -> OrderTask:
        """What the terminal is asked."""
        signal, settings = order.entry.signal, self._policy.settings()
        bound_of, facts = self._policy.spread_bound, self._policy.symbols().get(signal.symbol)
        return OrderTask(
            signal=signal,
            mark=mark_of(signal.signal_id),
            login=self.account.login,
            expires_ns=order.expires_ns,
            lease_until_ns=self._permission.lease_until_ns(signal),
            bounds=PriceBounds(
                min(signal.deviation_points or settings.deviation_points, settings.deviation_points),
                bound_of(signal.symbol) if bound_of else settings.max_spread_points,
                settings.max_quote_age_ms,
            ),
            first_price=order.first_price,
            margin_per_lot=facts.margin_per_lot if facts else 0.0,
            server_ahead_s=self._policy.server_ahead_s() or 0,
        )

    def _refusal(self, signal: Signal) -> Refusal | None:
        policy = self._policy
        if policy.is_frozen(signal.symbol):
            message = f"an earlier order on {signal.symbol} is UNKNOWN; nothing is sent until that is resolved"
            return Refusal("SYMBOL_FROZEN", message)
        if signal.expires_unix_ms and policy.server_ahead_s() is None:
            return Refusal("SERVER_CLOCK_UNKNOWN", _CLOCK_UNKNOWN)
        found = (check(signal) for check in (*policy.checks, policy.guard.refusal))
        return next((refused for refused in found if refused), None)
