"""What runs for ever at a bridge ends when it is cancelled, also as NATS answers."""

import asyncio
from types import SimpleNamespace
from typing import Any

from mesh.market import TickId
from services.data_bridge.domain.progress import SymbolKey
from services.data_bridge.feed_history import Past
from services.data_bridge.sources import SourceLeases
from services.data_bridge.subscription import Subscription
from tests.support.endless import Answer, ends

KEY = SymbolKey("twin", "EURUSD")


class History:
    """Of a symbol that has no ticks, and gets none."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    async def stored(self, key: SymbolKey, cursor: TickId) -> Past:
        return Past([], 0, ended=True)

    async def logged(self, key: SymbolKey, cursor: TickId, seq: int) -> Past:
        await self._answer()
        return Past([], 1, ended=True)


async def test_a_subscriber_that_left_is_forgotten_as_the_log_answers() -> None:
    """Else it would be kept until the symbol's next tick."""
    answer = Answer()
    history: Any = History(answer)
    subscription = Subscription(history, 1_000_000)
    subscription.replay(KEY, 1)

    async def read_on() -> None:
        while True:
            await subscription.read()

    assert await ends(read_on(), answer)


async def test_a_bridge_that_stops_renews_its_leases_no_more() -> None:
    """As a renewal is sent at last, over a connection that was full."""
    answer = Answer()

    async def never(*_: object, **__: object) -> None:
        await asyncio.Event().wait()

    stream = SimpleNamespace(create_key_value=never)
    bus: Any = SimpleNamespace(is_connected=True, publish=answer, flush=answer, jetstream=lambda **_: stream)
    assert await ends(SourceLeases(bus, "bridge-1", 1, 1.0).run(lambda _: None), answer)
