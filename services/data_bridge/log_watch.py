"""Notices a log that was restored or truncated, while nothing is published that would be refused."""

import asyncio
from collections.abc import Callable

import nats.errors
from nats.aio.client import Client

from mesh.log import get_logger
from mesh.market.subjects import EPOCH_METADATA, TICKS_STREAM

log = get_logger(__name__)


class LogWatch:
    """Calls `changed` when the log may hold less than it did: it begins a new epoch, is shorter, or NATS was away."""

    def __init__(self, bus: Client, changed: Callable[[], None], interval_s: float) -> None:
        self._bus = bus
        self._changed = changed
        self._interval_s = interval_s

    async def run(self) -> None:
        epoch, last_seq, reconnects = "", 0, self._bus.stats["reconnects"]
        while True:
            await asyncio.sleep(self._interval_s)
            try:
                info = await self._bus.jetstream().stream_info(TICKS_STREAM)
            except (nats.errors.Error, TimeoutError, OSError):
                continue  # whoever publishes says so
            now_epoch, now_seq = (info.config.metadata or {}).get(EPOCH_METADATA, "-"), info.state.last_seq
            away, reconnects = self._bus.stats["reconnects"] != reconnects, self._bus.stats["reconnects"]
            if epoch and (now_epoch != epoch or now_seq < last_seq):
                log.warning("the log is not what it was", epoch=now_epoch, last_seq=now_seq, before=last_seq)
                self._changed()
            elif away:
                self._changed()
            epoch, last_seq = now_epoch, now_seq
