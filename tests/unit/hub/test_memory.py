"""The store of a hub alone, beyond what every store keeps to."""

from contextlib import aclosing

from hub.domain.state import Snapshot
from hub.store.memory import MemoryStore
from tests.support.entries import record


async def test_a_slow_follower_is_given_a_snapshot_again() -> None:
    """It holds nobody up, and nothing is held for it without bound."""
    store = MemoryStore(1_000)
    async with aclosing(store.follow()) as news:  # type: ignore[type-var]
        assert await anext(news) == Snapshot(1_000, (), 1_000)
        held = 0
        for _ in range(2_000):
            held = await store.put(record(), held)
        again = await anext(news)
        assert isinstance(again, Snapshot)
        assert [delta.revision for delta in again.entries] == [again.revision] == [held]
        held = await store.put(record(), held)
        assert (await anext(news)).revision == held
