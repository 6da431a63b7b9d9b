"""This PC's own safety: what it refuses by itself, above everything that the engine says."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from decimal import Decimal

from mesh.clock import unix_ns
from mesh.log import get_logger
from mesh.orders import ENTRIES
from pc_agent.domain import safety as rules
from pc_agent.domain.books import BookOrder, BookPosition
from pc_agent.domain.cap_usage import CapUsage
from pc_agent.domain.live_settings import DeadMan, LiveSettings
from pc_agent.domain.orders import Account, Entry, Signal
from pc_agent.domain.refusal import Refusal
from pc_agent.domain.safety import Stand, TradingState
from pc_agent.orders.account_books import Look
from pc_agent.orders.engine_absence import EngineAbsence
from pc_agent.orders.safety_file import KillSwitch, SafetyFile

log = get_logger(__name__)

_LOOK_S = 0.25
# The kill switch is looked at again when an entry comes so long after the last look.
_AT_ONCE_S = 0.02
_FLATTEN_AGAIN_S = 30.0


class Safety:
    """One account's.

    `disabled` tells why no terminal takes an order, in words; empty: one does. `engine_is_there` also while this agent
    stands by for another one. `withdraw` closes what is ours (True) or only removes pending entries of ours.
    """

    def __init__(
        self,
        account: Account,
        is_demo: bool,
        is_hedging: bool,
        live: Callable[[], LiveSettings],
        switch: KillSwitch,
        file: SafetyFile,
        engine_is_there: Callable[[], bool],
        disabled: Callable[[], str],
        foreign: Callable[[], tuple[list[BookPosition], list[BookOrder]]],
        withdraw: Callable[[bool, str], Awaitable[object]],
    ) -> None:
        self.state = Stand()
        self.changed = asyncio.Event()
        # Told to the terminals: they may have entries that they have not sent yet.
        self.stop_entries: Callable[[bool], None] = lambda _: None
        # Whether the look at the books that was told last has shown a deal.
        self.has_shown: Callable[[int], bool] = lambda _: True
        self._account = account
        self._is_demo = is_demo
        self._live = live
        self._switch = switch
        self._file = file
        self._known = file.of(account)
        self._disabled = disabled
        self._foreign = foreign
        self._withdraw = withdraw
        self.engine_state = TradingState.ACTIVE
        self._absence = EngineAbsence(self._known, file.save, live, engine_is_there)
        self._withdrawn_at = float("-inf")
        self._judged_at = float("-inf")
        self._usage = CapUsage(hedging=is_hedging)
        # Of all that was paid in, what the day has been told of.
        self._paid_in = Decimal(0)

    # what execution asks

    def refusal(self, signal: Signal) -> Refusal | None:
        """Why this PC will not have it executed; None: it may, and `note_intent` is to follow at once."""
        if signal.kind not in ENTRIES:
            return rules.foreign_refusal(signal, *self._foreign())
        if time.monotonic() - self._judged_at > _AT_ONCE_S:
            self.judge()
        account = self._usage.measured(signal.symbol, time.monotonic())
        return rules.halt_refusal(signal, self.state, self.engine_state, account) or rules.cap_refusal(
            signal, self._live(), account
        )

    def note_intent(self, signal: Signal) -> None:
        """It is about to be executed: it counts from now on."""
        self._usage.begin(signal, time.monotonic())

    def note_result(self, entry: Entry) -> None:
        """What came of it: the books show it from now on, or it never was."""
        self._usage.note(entry, time.monotonic())

    @property
    def expected(self) -> dict[str, frozenset[str]]:
        """By symbol, signals that may be at the broker and that the books do not show yet."""
        return self._usage.expected

    def recall(self, intents_unix_ns: Sequence[int]) -> None:
        """When entries of the last minute were begun by an agent before this one, oldest first."""
        now, now_unix_ns = time.monotonic(), unix_ns()
        self._usage.recall([now - max(0, now_unix_ns - one) / 1e9 for one in intents_unix_ns])

    # what others tell

    def looked(self, look: Look) -> None:
        """The books were read."""
        self._usage.look(look.books, look.asked_monotonic, self.has_shown)
        self._note_day(look)
        self.judge()

    def engine_says(self, state: TradingState) -> None:
        self.engine_state = state
        self._tell_terminals()

    # what the person at the PC says

    def halt(self, reason: str) -> None:
        self._switch.throw(self._account, reason)
        self.judge()

    def resume(self) -> Stand:
        """Lift what a person may lift; what is left."""
        self._switch.lift(self._account)
        self._known.flattened = False
        self._file.save()
        self.judge()
        return self.state

    def allow_live_money(self, allowed: bool) -> None:
        self._known.live_money_allowed = allowed
        self._file.save()
        self.judge()

    async def run(self) -> None:
        """Look at the kill switch and for the engine, for ever."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._look(), name="kill switch")
            tasks.create_task(self._be_dead_mans(), name="dead man")

    async def _look(self) -> None:
        while True:
            self._absence.look()
            self.judge()
            await asyncio.sleep(_LOOK_S)

    async def _be_dead_mans(self) -> None:
        """Closing takes its time, in which the kill switch is looked at all the same."""
        while True:
            await self._obey_dead_man()
            await asyncio.sleep(_LOOK_S)

    # inside

    def judge(self) -> None:
        """Look anew at all that may stop entries."""
        self._judged_at = time.monotonic()
        state = self._stand()
        if state == self.state:
            return
        if state.halted:
            log.warning("entries are stopped", login=self._account.login, reason=state.reason, says=state.message)
        else:
            log.info("entries are allowed", login=self._account.login)
        self.state = state
        self.changed.set()
        self._tell_terminals()

    def _tell_terminals(self) -> None:
        self.stop_entries(self.state.halted or self.engine_state is TradingState.HALTED)

    def _stand(self) -> Stand:
        reason = self._switch.reason(self._account)
        if reason is not None:
            return _halted("KILL_SWITCH", f"the kill switch is thrown: {reason}; `suho agent resume` lifts it")
        if not self._is_demo and not self._known.live_money_allowed:
            words = f"this account is no demo; `suho agent allow-live {self._account.login}` on this PC allows it"
            return _halted("LIVE_MONEY_NOT_ALLOWED", words)
        if self._known.day.lost and self._live().max_daily_loss:
            return _halted("DAILY_LOSS", f"{self._live().max_daily_loss:f} or more was lost today; it ends at midnight")
        if self._known.flattened:
            return _halted("DEAD_MAN", "all was closed while the engine was gone; `suho agent resume` goes on")
        if self._absence.is_too_long():
            return _halted("DEAD_MAN", f"the engine has been gone for {self._live().dead_man_after_s:g} s or more")
        if because := self._disabled():
            return _halted("TRADING_DISABLED", because)
        return Stand()

    async def _obey_dead_man(self) -> None:
        """Pending entries are withdrawn, positions closed: again and again, as long as any is there."""
        now = time.monotonic()
        if not self._absence.is_too_long() or now - self._withdrawn_at < _FLATTEN_AGAIN_S:
            return
        self._withdrawn_at = now
        flatten = self._live().dead_man is DeadMan.FLATTEN
        if flatten and not self._known.flattened:
            self._known.flattened = True
            self._file.save()
            log.error("the engine is gone for too long: what is ours is closed", login=self._account.login)
        await self._withdraw(flatten, f"dead-man-{time.time_ns()}")

    def _note_day(self, look: Look) -> None:
        equity, paid_in = Decimal(repr(look.books.money.equity)), look.paid_in - self._paid_in
        self._paid_in = look.paid_in
        server_s = look.server_s if look.is_told else None
        day = self._known.day.at(server_s, equity, paid_in, self._live().max_daily_loss)
        if day != self._known.day:
            self._known.day = day
            self._file.save()


def _halted(reason: str, message: str) -> Stand:
    return Stand(halted=True, reason=reason, message=message)
