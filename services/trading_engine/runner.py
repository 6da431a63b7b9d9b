"""Runs a strategy on an account: one symbol is watched, decided on and traded by itself."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from uuid import UUID

from mesh.clock import unix_ns
from mesh.errors import MeshError
from mesh.log import get_logger
from mesh.market import Batch
from mesh.orders import Kind
from mesh.waiting import until_available
from services.trading_engine.accounts_everywhere import AccountsEverywhere, Held
from services.trading_engine.database import Database, DatabaseAwayError
from services.trading_engine.desk import Committed, Desk
from services.trading_engine.domain.order import AccountId, Intent, OrderState
from services.trading_engine.domain.signal_id import signal_id, strategy_namespace
from services.trading_engine.domain.strategies import Decision, Strategy
from services.trading_engine.messages import state_of, view_of
from services.trading_engine.order_board import OrderBoard

log = get_logger(__name__)

# How often an order that an earlier engine left under way is looked at.
_LOOK_AGAIN_S = 0.5


@dataclass(frozen=True, slots=True)
class StrategyTerms:
    """What is traded: which strategy, for whom, how much, and how long a symbol rests after an order that failed."""

    name: str
    make: Callable[[], Strategy]
    account: AccountId
    volume: Decimal
    valid_for_ms: int
    pause_s: float


class Watch:
    """One symbol's strategy, fed with ticks; decides only while somebody waits for a decision."""

    def __init__(self, strategy: Strategy) -> None:
        self._strategy = strategy
        self._position = Decimal(0)
        self._waiting: asyncio.Future[Decision] | None = None

    def take(self, batch: Batch, unbroken: bool) -> None:
        if not unbroken:
            self._strategy.reset()
        readings = self._strategy.read(batch)
        if self._waiting is None or self._waiting.done():
            return
        decision = readings.first(self._position)
        if decision is not None:
            self._waiting.set_result(decision)

    async def decision(self, position: Decimal) -> Decision:
        """The next one for whoever holds `position`."""
        self._position = position
        self._waiting = asyncio.get_running_loop().create_future()
        try:
            return await self._waiting
        finally:
            self._waiting = None


class StrategyRunner:
    """Takes ticks, and trades in tasks of `tasks`: at most one order under way a symbol."""

    def __init__(
        self,
        terms: StrategyTerms,
        database: Database,
        desk: Desk,
        accounts: AccountsEverywhere,
        board: OrderBoard,
        tasks: asyncio.TaskGroup,
    ) -> None:
        self._terms = terms
        self._database = database
        self._desk = desk
        self._accounts = accounts
        self._board = board
        self._tasks = tasks
        self._namespace: UUID = strategy_namespace(terms.name, terms.account)
        self._watches: dict[str, Watch] = {}

    def take(self, batch: Batch, unbroken: bool) -> None:
        """New ticks of a symbol; False: they do not follow on those before."""
        watch = self._watches.get(batch.symbol)
        if watch is None:
            watch = self._watches[batch.symbol] = Watch(self._terms.make())
            self._tasks.create_task(self._trade(batch.symbol, watch), name=f"{self._terms.name} {batch.symbol}")
        watch.take(batch, unbroken)

    async def _trade(self, symbol: str, watch: Watch) -> None:
        while True:
            position = await self._settled_position(symbol)
            decision = await watch.decision(position)
            intents = await self._intents(symbol, position, decision)
            states = [await self._carry_out(intent) for intent in intents]
            if not states or any(state is not OrderState.FILLED for state in states):
                await asyncio.sleep(self._terms.pause_s)

    async def _settled_position(self, symbol: str) -> Decimal:
        """What the strategy holds, once nothing of it is under way."""
        while True:
            account = await until_available(
                "database", lambda: self._database.account(self._terms.account), (DatabaseAwayError,)
            )
            held = view_of(account, None, 0).exposure(symbol, self._terms.name)
            if held.open_orders == 0:
                return held.net_volume
            await asyncio.sleep(_LOOK_AGAIN_S)

    async def _intents(self, symbol: str, position: Decimal, decision: Decision) -> list[Intent]:
        """An entry, or what closes the position: by its tickets, which a halt lets pass.

        What no agent shows may be gone, and an order of the other side would open a position then: it is waited for.
        """
        entry = self._intent(symbol, decision, 0)
        if not decision.closing:
            return [entry]
        shown = await self._shown()
        if shown is None:
            return []
        held = [item for item in shown.books.positions.values() if item.symbol == symbol]
        held = [item for item in held if item.side is decision.side.opposite]
        if shown.hedging:
            held = [item for item in held if item.signal_id and await self._is_own(item.signal_id)]
        elif any(not item.signal_id for item in held):
            # One position has it all there, and a foreign one is closed by no ticket.
            return [replace(entry, volume=abs(position))]
        return [
            replace(
                self._intent(symbol, decision, n),
                kind=Kind.CLOSE,
                position=item.ticket,
                volume=min(item.volume, abs(position)),
            )
            for n, item in enumerate(held)
        ]

    async def _shown(self) -> Held | None:
        try:
            return await self._accounts.held(self._terms.account)
        except MeshError as error:
            log.warning("not closed yet", account=str(self._terms.account), because=str(error))
            return None

    async def _is_own(self, opened_by: str) -> bool:
        """Whether this strategy opened a position. One that was adopted has no order."""
        try:
            order = await until_available("database", lambda: self._database.order(opened_by), (DatabaseAwayError,))
        except MeshError:
            return False
        return order.strategy == self._terms.name

    def _intent(self, symbol: str, decision: Decision, n: int) -> Intent:
        now_ns = unix_ns()
        return Intent(
            signal_id=signal_id(self._namespace, symbol, decision.tick, n),
            account=self._terms.account,
            symbol=symbol,
            side=decision.side,
            volume=self._terms.volume,
            stop_loss=None,
            take_profit=None,
            strategy=self._terms.name,
            submitted_unix_ns=now_ns,
            not_after_unix_ms=now_ns // 1_000_000 + self._terms.valid_for_ms,
        )

    async def _carry_out(self, intent: Intent) -> OrderState:
        """Commit the intent and wait until nothing more can come of it.

        Repeating is safe: the id is the decision's own, and its time runs out.
        """

        async def submit() -> Committed:
            return await self._desk.submit(intent)

        try:
            order, _ = await until_available("database", submit, (DatabaseAwayError,))
        except MeshError as error:
            log.error("intent refused", signal_id=intent.signal_id, because=str(error))
            return OrderState.DENIED
        return await until_available("database", lambda: self._final_state(order.signal_id), (DatabaseAwayError,))

    async def _final_state(self, signal: str) -> OrderState:
        state = OrderState.PENDING
        async for order in self._board.follow(signal):
            state = state_of(order)
        return state
