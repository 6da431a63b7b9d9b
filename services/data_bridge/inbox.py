"""An address on the bus to be answered at."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from nats.aio.client import Client
from nats.aio.msg import Msg


@asynccontextmanager
async def open_inbox(bus: Client) -> AsyncIterator[tuple[str, asyncio.Queue[Msg]]]:
    """The address, and what comes there."""
    answers: asyncio.Queue[Msg] = asyncio.Queue()

    async def receive(message: Msg) -> None:
        answers.put_nowait(message)

    address = bus.new_inbox()
    subscription = await bus.subscribe(address, cb=receive)
    try:
        yield address, answers
    finally:
        if not bus.is_closed:
            await subscription.unsubscribe()


async def until_subscribed(bus: Client, timeout_s: float) -> None:
    """Wait until NATS has every subscription made before. `flush` does not: its ping overtakes what is unsent.

    Raises:
        nats.errors.Error, TimeoutError: NATS is away.
    """
    async with asyncio.timeout(timeout_s), open_inbox(bus) as (address, answers):
        await bus.publish(address)
        await answers.get()
