"""The connection to NATS: one a program, there before the block runs, coming back for ever.

nats-py is in the `server` extra only, so the agent must not import this module.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

import nats
from nats.aio.client import Client

from mesh.log import get_logger

log = get_logger(__name__)

_RETRY_S = 0.2
_CONNECT_TIMEOUT_S = 2
# A server that answers no more is noticed after three of these: soon where there is another one to turn to.
_PING_S = 10
_PING_CLUSTER_S = 2
# What is published while NATS is away: the caller is to wait for an answer anyway, and to ask again.
_HELD_BYTES = 4 * 1024 * 1024


class BusClosedError(Exception):
    """NATS ended the connection for good (it refused this client); the program can not go on."""


class _Voice:
    """Says once that NATS is away, and once that it came, however often the client tries."""

    def __init__(self, urls: list[str]) -> None:
        # What stands before the '@' is nobody's to read.
        self._address = ",".join(f"{parts.hostname}:{parts.port}" for parts in map(urlsplit, urls))
        self._said = False
        self.closed = asyncio.Event()

    async def error(self, error: Exception) -> None:
        if not self._said:
            self._said = True
            log.warning("trouble with the bus", address=self._address, because=str(error) or type(error).__name__)

    async def connected(self) -> None:
        if self._said:
            self._said = False
            log.info("the bus is there", address=self._address)

    async def disconnected(self) -> None:
        if not self._said and not self.closed.is_set():
            self._said = True
            log.warning("the bus went away; reconnecting", address=self._address)

    async def over(self) -> None:
        self.closed.set()


@asynccontextmanager
async def open_bus(nats_url: str, name: str) -> AsyncIterator[Client]:
    """A connected client; waits until NATS is there, and reconnects for ever.

    While it is away requests time out; whoever asks must be able to ask again.

    Args:
        nats_url: `nats://user:password@host:port`; of a cluster all, separated by commas, with the same credentials.

    Raises:
        BusClosedError: out of the block, when NATS refuses this client.
    """
    urls = nats_url.split(",")
    voice = _Voice(urls)
    credentials = urlsplit(urls[0])
    client = await nats.connect(
        urls,
        name=name,
        # Else servers that the cluster tells of would be asked without any.
        user=credentials.username,
        password=credentials.password,
        error_cb=voice.error,
        disconnected_cb=voice.disconnected,
        reconnected_cb=voice.connected,
        closed_cb=voice.over,
        connect_timeout=_CONNECT_TIMEOUT_S,
        reconnect_time_wait=_RETRY_S,
        max_reconnect_attempts=-1,
        ping_interval=_PING_S if len(urls) == 1 else _PING_CLUSTER_S,
        max_outstanding_pings=2,
        pending_size=_HELD_BYTES,
    )
    await voice.connected()
    try:
        async with asyncio.TaskGroup() as tasks:
            watch = tasks.create_task(_refused(client, voice), name="bus")
            yield client
            watch.cancel()
    finally:
        voice.closed.set()
        with suppress(OSError):  # NATS died, and something was still to be sent
            await client.close()


async def _refused(client: Client, voice: _Voice) -> None:
    await voice.closed.wait()
    raise BusClosedError(f"NATS closed the connection: {client.last_error or 'no reason given'}")
