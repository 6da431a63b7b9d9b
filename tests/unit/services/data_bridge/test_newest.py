"""The newest ticks' way to the cache."""

import asyncio
from collections.abc import Callable, Sequence

from mesh.errors import MeshError, Reason
from mesh.market import Batch
from services.data_bridge.newest import NewestTicks
from tests.support import eventually
from tests.unit.services.data_bridge.ticks import history


class Cache:
    """Fails once for each of `meanwhile`, which is called then."""

    def __init__(self, *meanwhile: Callable[[], None]) -> None:
        self.puts: list[Sequence[Batch]] = []
        self.meanwhile = list(meanwhile)

    async def put_newest(self, batches: Sequence[Batch]) -> None:
        if self.meanwhile:
            self.meanwhile.pop()()
            raise MeshError(Reason.UNREACHABLE, "away")
        self.puts.append(batches)


async def test_only_the_latest_tick_of_a_symbol_is_put() -> None:
    """What was published within an interval becomes one call with one tick a symbol."""
    ticks, cache = history(100), Cache()
    newest = NewestTicks(cache, 0.01)
    for piece in ticks.chunks(10):
        newest.offer(piece)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(newest.run())
        await eventually(lambda: cache.puts)
        running.cancel()
    [[only]] = cache.puts
    assert (len(only), only.last_id) == (1, ticks.last_id)


async def test_what_could_not_be_put_is_put_later_unless_it_is_outdated() -> None:
    """After failures the cache gets the newest tick, not the one that failed."""
    ticks = history(100)
    cache = Cache(lambda: None, lambda: newest.offer(ticks.slice(50, 100)))
    newest = NewestTicks(cache, 0.005)
    newest.offer(ticks.slice(0, 50))
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(newest.run())
        await eventually(lambda: cache.puts)
        running.cancel()
    assert [batch.last_id for batch in cache.puts[0]] == [ticks.last_id]
