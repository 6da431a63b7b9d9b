"""A symbol's watch: always reading, deciding only when asked."""

import asyncio
from decimal import Decimal

from services.trading_engine.domain.order import Side
from services.trading_engine.domain.strategies.bollinger import Bollinger
from services.trading_engine.runner import Watch
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
