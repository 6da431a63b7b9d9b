"""A symbol's watch: always reading, deciding only when asked; and what carries out what it decides."""

import asyncio
from contextlib import suppress
from decimal import Decimal
from typing import Any, cast

from suho.common.v1 import account_pb2
from suho.database.v1 import order_service_pb2 as db
from suho.trading.v1 import order_pb2

from mesh.market import Batch, TickId
from services.trading_engine.accounts_everywhere import Held
from services.trading_engine.domain.order import AccountId, Books, Side
from services.trading_engine.domain.strategies import Decision, Readings
from services.trading_engine.domain.strategies.bollinger import Bollinger
from services.trading_engine.runner import StrategyRunner, StrategyTerms, Watch
from tests.support import eventually
from tests.unit.services.trading_engine.domain.batches import batch_of

CALM = [1.1, 1.2] * 10


async def test_ticks_are_read_while_nobody_waits_and_decided_on_when_somebody_does() -> None:
    """A decision is about a tick that came while it was waited for, on bands that know those before."""
    watch = Watch(Bollinger())
    watch.take(batch_of([*CALM, 0.9]), unbroken=True)
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(watch.decision(Decimal("0.01")))
        await asyncio.sleep(0)
        watch.take(batch_of([1.1]), unbroken=True)
        assert not waiting.done()
        last = batch_of([1.2], start_msc=9_000)
        watch.take(last, unbroken=True)
        watch.take(batch_of([1.3]), unbroken=True)
    decision = waiting.result()
    assert (decision.tick, decision.side, decision.closing) == (last.last_id, Side.SELL, True)


async def test_a_hole_empties_the_bands() -> None:
    """Nothing is decided until they are full again."""
    watch = Watch(Bollinger())
    watch.take(batch_of(CALM), unbroken=True)
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(watch.decision(Decimal(0)))
        await asyncio.sleep(0)
        watch.take(batch_of([0.9]), unbroken=False)
        watch.take(batch_of(CALM[:18]), unbroken=True)
        assert not waiting.done()
        watch.take(batch_of([1.7]), unbroken=True)
    assert waiting.result().side is Side.SELL


class Closes:
    """A strategy that would always close."""

    def read(self, batch: Batch) -> Readings:
        return self

    def first(self, position: Decimal, start: int = 0) -> Decision | None:
        return Decision(0, TickId(1, 0), Side.SELL, closing=True)

    def reset(self) -> None:
        return None


class Elsewhere:
    """The account's engine, which answers in the moment in which whoever asks is cancelled."""

    asked = 0

    async def account(self, _: AccountId) -> db.Account:
        ident = account_pb2.AccountRef(server="twin-7", login=7)
        return db.Account(account=ident, trading_state=order_pb2.TRADING_STATE_ACTIVE)

    async def held(self, _: AccountId) -> Held:
        self.asked += 1
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return Held(Books(), hedging=False)


async def test_a_strategy_that_asks_another_engine_ends_when_it_is_told_to() -> None:
    """Else an engine that stops in that moment would trade on, and never end."""
    elsewhere = Elsewhere()
    away: Any = elsewhere
    terms = StrategyTerms("closes", Closes, AccountId("twin-7", 7), Decimal(1), 1_000, 0.0)

    async def strategy() -> None:
        async with asyncio.TaskGroup() as tasks:
            runner = StrategyRunner(terms, away, cast(Any, None), away, cast(Any, None), tasks)
            while True:
                runner.take(batch_of([1.1]), unbroken=True)
                await asyncio.sleep(0)

    task = asyncio.create_task(strategy())
    await eventually(lambda: elsewhere.asked)
    task.cancel()
    await asyncio.wait([task], timeout=10)
    ended = task.done()
    task.cancel()
    assert (ended, elsewhere.asked) == (True, 1)
