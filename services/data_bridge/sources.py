"""Leases of symbols in NATS KV: who streams what, and which bridges are alive.

`source.<server>.<symbol>` is a lease; it has no TTL and is written with compare-and-set. `bridge.<name>` is a
bridge's life, with a TTL, renewed however many leases it has. A bridge trusts what it heard for as long as the server
must have kept its own life: from when it sent the newest renewal that came back to it behind all that happened before.
"""

import asyncio
import json
import time
from collections.abc import Callable, Collection
from contextlib import suppress

import nats.errors
from nats.aio.client import Client
from nats.js.api import KeyValueConfig
from nats.js.errors import APIError
from nats.js.kv import KV_DEL, KV_OP, KeyValue

from mesh.log import get_logger
from mesh.market.subjects import decode, encode
from mesh.waiting import obey_cancellation, until_available
from services.data_bridge.domain.log import LogUnavailableError
from services.data_bridge.domain.progress import SymbolKey
from services.data_bridge.domain.sources import NOBODY, Lease, LeaseMovedError, Write

log = get_logger(__name__)

BUCKET = "suho-sources"
_SOURCE, _BRIDGE = "source", "bridge"
_TTL = "Nats-TTL"
_MARKER_S = 60
_RENEWALS = 3  # in one TTL
_REMEMBERED = 10
_MARGIN = 0.9  # clocks do not run alike
_ERRORS = (nats.errors.Error, TimeoutError, OSError)
_WRONG_LAST_SEQUENCE = (10071, 10164)

Changed = Callable[[SymbolKey | None], None]


class SourceLeases:
    """Implements `domain.sources.Leases`; `run` keeps it true.

    Args:
        bridge: The name of this life of this bridge.
        ttl_s: How long a bridge that says nothing is taken to be alive.
    """

    def __init__(self, bus: Client, bridge: str, ttl_s: int, timeout_s: float) -> None:
        self.bridge = bridge
        self.alive: Collection[str] = set()
        self._bus = bus
        self._js = bus.jetstream(timeout=timeout_s)
        self._ttl_s = ttl_s
        self._leases: dict[SymbolKey, Lease] = {}
        self._valid_until = 0.0
        self._confirmed = asyncio.Event()
        self._renewed = 0
        self._sent: dict[int, float] = {}
        self._prefix = f"$KV.{BUCKET}."
        self._life = f"{_BRIDGE}.{encode(bridge)}"

    @property
    def valid(self) -> bool:
        return time.monotonic() < self._valid_until

    async def confirmed(self) -> None:
        """Wait until what is known is valid."""
        while not self.valid:
            self._confirmed.clear()
            await self._confirmed.wait()

    def lease(self, key: SymbolKey) -> Lease:
        return self._leases.get(key, NOBODY)

    def is_streamed(self, key: SymbolKey) -> bool:
        """Whether an agent streams it, through whatever bridge."""
        lease = self.lease(key)
        return bool(lease.agent) and lease.bridge in self.alive

    def streamed(self) -> list[SymbolKey]:
        """The symbols that agents stream."""
        return [key for key in self._leases if self.is_streamed(key)]

    async def write(self, key: SymbolKey, write: Write) -> Lease:
        subject = f"{self._prefix}{_SOURCE}.{encode(key.server)}.{encode(key.symbol)}"
        value = json.dumps({"agent": write.agent, "bridge": write.bridge}).encode()
        headers = {"Nats-Expected-Last-Subject-Sequence": str(write.expected)}
        try:
            done = await self._js.publish(subject, value, headers=headers)
        except APIError as error:
            if error.err_code in _WRONG_LAST_SEQUENCE:
                raise LeaseMovedError from None
            raise LogUnavailableError(f"a lease was refused: {error.description}") from None
        except _ERRORS as error:
            raise LogUnavailableError(f"a lease was not confirmed: {error}") from None
        lease = Lease(write.agent, write.bridge, done.seq)
        if done.seq > self.lease(key).revision:
            self._leases[key] = lease
        return self.lease(key)

    async def run(self, changed: Changed) -> None:
        """Renew this bridge's life and follow the leases, for ever; leave them to others at the end.

        `changed` is called with the symbol whose lease is another now; with None when bridges came or went, and now
        and then.
        """
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._keep_alive(), name="renew")
                while True:
                    bucket = await until_available("the source leases", self._open, (APIError, *_ERRORS))
                    await self._follow(bucket, changed)
        finally:
            await self._leave()

    async def _open(self) -> KeyValue:
        return await self._js.create_key_value(KeyValueConfig(bucket=BUCKET, limit_marker_ttl=_MARKER_S))

    async def _keep_alive(self) -> None:
        while True:
            obey_cancellation()
            await self._renew()
            await asyncio.sleep(self._ttl_s / _RENEWALS)

    async def _renew(self) -> None:
        if not self._bus.is_connected:
            return
        self._renewed += 1
        self._sent[self._renewed] = time.monotonic()
        self._sent.pop(self._renewed - _REMEMBERED, None)
        value = str(self._renewed).encode()
        with suppress(*_ERRORS):  # its echo is what counts
            await self._bus.publish(f"{self._prefix}{self._life}", value, headers={_TTL: f"{self._ttl_s}s"})

    async def _follow(self, bucket: KeyValue, changed: Changed) -> None:
        """Hear what happens, until nothing was heard for so long that the watch must have broken."""
        try:
            watcher = await bucket.watchall()
        except (APIError, *_ERRORS):
            return
        try:
            leases: dict[SymbolKey, Lease] = {}
            alive: set[str] = set()
            known = False
            while True:
                async with asyncio.timeout(2 * self._ttl_s):
                    entry = await anext(watcher)
                if entry is None:  # all that there was
                    stale = self._leases.keys()
                    self._leases, self.alive, known = leases, alive, True
                    for key in stale | leases.keys():
                        changed(key)
                    await self._renew()
                elif entry.key.startswith(_SOURCE):
                    key = _hear_lease(entry, leases)
                    if known:
                        changed(key)
                else:
                    _hear_life(entry, alive)
                    if known:
                        self._echo(entry)
                        changed(None)
        except TimeoutError:
            log.warning("the source leases are not heard; asking again")
        finally:
            with suppress(*_ERRORS):
                await watcher.stop()  # type: ignore[no-untyped-call]

    def _echo(self, entry: KeyValue.Entry) -> None:
        """When it is a renewal of this bridge: all that happened before it has been heard."""
        if entry.key != self._life or entry.operation:
            return
        sent = self._sent.get(int(entry.value or b"0"))
        if sent is not None:
            self._valid_until = sent + self._ttl_s * _MARGIN
            self._confirmed.set()

    async def _leave(self) -> None:
        """Whoever waits need not wait for the end of this life."""
        self._valid_until = 0.0
        if not self._bus.is_connected:
            return
        with suppress(*_ERRORS):
            gone = {KV_OP: KV_DEL, _TTL: f"{_MARKER_S}s"}
            await self._bus.publish(f"{self._prefix}{self._life}", b"", headers=gone)
            await self._bus.flush(1)


def _hear_lease(entry: KeyValue.Entry, leases: dict[SymbolKey, Lease]) -> SymbolKey:
    _, server, symbol = entry.key.split(".")
    key = SymbolKey(decode(server), decode(symbol))
    value = json.loads(entry.value or b"{}")
    lease = Lease(value.get("agent", ""), value.get("bridge", ""), entry.revision or 0)
    if lease.revision > leases.get(key, NOBODY).revision:  # else this bridge wrote it and knows
        leases[key] = lease
    return key


def _hear_life(entry: KeyValue.Entry, alive: set[str]) -> None:
    bridge = decode(entry.key.split(".")[1])
    if entry.operation:
        alive.discard(bridge)
    else:
        alive.add(bridge)
