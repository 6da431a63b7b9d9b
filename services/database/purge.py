"""Lets a log forget what every sink has stored."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from mesh.log import get_logger
from mesh.waiting import obey_cancellation
from services.database.domain.purge import LogState, next_bound, purges

log = get_logger(__name__)

# How often a log is looked at for being too full.
_LOOK_S = 2.0
# Purges of single subjects between two breaths: a log of thousands of symbols must stay writable meanwhile.
_AT_ONCE = 50
_BREATH_S = 0.02
_MOST_ROUNDS = 8


class Progress(Protocol):
    """How far a sink got; asked of its store, where another instance may run it."""

    async def stored_seq(self, epoch: int) -> int:
        """The last message of the log's epoch that is stored with all before it; 0: none."""


class Log(Protocol):
    @property
    def name(self) -> str: ...
    async def state(self) -> LogState: ...
    async def purging(self, epoch: int, up_to: int) -> None: ...


class Contents(Protocol):
    async def first_since(self, unix_ms: int) -> int | None: ...
    async def newest_of_each(self) -> dict[str, tuple[int, int]]: ...
    async def purge(self, before: int, subject: str = "") -> None: ...


class Purge:
    """Purges one log by the positions of its sinks. Run it under the lease of one of them.

    Args:
        sinks: Every configured sink of this log.
        keep_s: How long a message stays at least while there is room; None: until it is stored, subjects' newest too.
        every_s: How often old messages are looked for; a full log is seen to within two seconds.
        transient: What is worth another try, later.
    """

    def __init__(
        self,
        tick_log: Log,
        contents: Contents,
        sinks: Sequence[Progress],
        keep_s: float | None,
        every_s: float,
        transient: tuple[type[Exception], ...],
        now_ms: Callable[[], int],
    ) -> None:
        self._log = tick_log
        self._contents = contents
        self._sinks = sinks
        self._keep_s = keep_s
        self._every_s = every_s
        self._transient = transient
        self._now_ms = now_ms

    async def run(self) -> None:
        """For ever: what is old each `every_s`, and what is stored whenever the log is too full."""
        due = time.monotonic() + self._every_s
        while True:
            obey_cancellation()
            await asyncio.sleep(min(_LOOK_S, self._every_s))
            try:
                state = await self._log.state()
                if state.full or time.monotonic() >= due:
                    due = time.monotonic() + self._every_s
                    await self.once(state)
            except self._transient as error:
                log.warning("purge put off", log=self._log.name, because=str(error) or type(error).__name__)

    async def once(self, state: LogState) -> None:
        """Purge what may go now."""
        stored = min([await sink.stored_seq(state.epoch) for sink in self._sinks])
        if self._keep_s is None:
            await self._purge_all(state, stored)
            return
        recent = await self._contents.first_since(self._now_ms() - int(self._keep_s * 1000))
        await self._purge_before(state, min(stored, recent or stored))
        if state.full:
            await self._make_room(stored)

    async def _purge_all(self, state: LogState, stored: int) -> None:
        """The message at the position stays, to be compared when the sink starts."""
        if state.first_seq < stored:
            await self._log.purging(state.epoch, stored - 1)
            await self._contents.purge(stored)

    async def _make_room(self, stored: int) -> None:
        for _ in range(_MOST_ROUNDS):
            state = await self._log.state()
            before = next_bound(state, stored)
            if state.emptied or before <= state.purged_seq + 1:
                return
            await self._purge_before(state, before)

    async def _purge_before(self, state: LogState, before: int) -> None:
        if before <= max(state.first_seq, state.purged_seq + 1):
            return
        await self._log.purging(state.epoch, before - 1)
        for number, (subject, bound) in enumerate(purges(await self._contents.newest_of_each(), before), start=1):
            await self._contents.purge(bound, subject)
            if number % _AT_ONCE == 0:
                await asyncio.sleep(_BREATH_S)
        log.info("log purged", log=self._log.name, up_to=before - 1)
