"""Orders in doubt, until the terminal's books tell what became of them. Their symbols are frozen meanwhile."""

import asyncio
import time
from collections.abc import Callable

from mesh.log import get_logger
from pc_agent.domain.orders import Entry, Result, mark_of
from pc_agent.domain.reconciliation import resolve
from pc_agent.domain.server_clock import ServerClock
from pc_agent.orders.ledger import Ledger
from pc_agent.orders.whole_books import SERVER_MARGIN_S, BookTerminal, whole_books
from pc_agent.terminal.messages import ReadBooks

log = get_logger(__name__)

_LOOK_AGAIN_S = 1.0


class Reconciler:
    """Looks into the books once a second while anything is in doubt."""

    def __init__(
        self,
        ledger: Ledger,
        terminal: BookTerminal,
        clock: ServerClock,
        settle_s: float,
        told: Callable[[], None],
    ) -> None:
        self._ledger = ledger
        self._terminal = terminal
        self._clock = clock
        self._settle_s = settle_s
        self._told = told
        self._doubts: dict[str, Entry] = {}
        self._any = asyncio.Event()

    def doubt(self, entry: Entry) -> None:
        """It may have been executed, and the ledger says so: find out."""
        self._doubts[entry.signal.signal_id] = entry
        self._any.set()

    def is_frozen(self, symbol: str) -> bool:
        return any(entry.signal.symbol == symbol for entry in self._doubts.values())

    async def run(self) -> None:
        while True:
            await self._any.wait()
            await self._look()
            if self._doubts:
                await asyncio.sleep(_LOOK_AGAIN_S)
            else:
                self._any.clear()

    async def _look(self) -> None:
        doubts = list(self._doubts.values())
        since_unix_s = min(_sent_from_unix_s(entry) for entry in doubts)
        marks = {entry.signal.signal_id: mark_of(entry.signal.signal_id) for entry in doubts}
        books = await whole_books(self._terminal, ReadBooks(0, since_unix_s - SERVER_MARGIN_S, tuple(marks.values())))
        if books is None:
            return
        engine_ns = self._clock.unix_ns(time.monotonic_ns())
        engine_ms = None if engine_ns is None else engine_ns // 1_000_000
        for entry in doubts:
            result = resolve(entry.signal, marks[entry.signal.signal_id], books, engine_ms, self._settle_s)
            if result:
                await self._resolved(entry, result)

    async def _resolved(self, entry: Entry, result: Result) -> None:
        await self._ledger.settle(entry.signal.signal_id, result)
        del self._doubts[entry.signal.signal_id]
        log.warning("doubt resolved", signal_id=entry.signal.signal_id, state=result.state, reason=result.reason)
        self._told()


def _sent_from_unix_s(entry: Entry) -> int:
    """From when on it may have been sent: an agent that lost its ledger got it again long after its time."""
    return max(0, min(entry.received_unix_ns // 1_000_000_000, entry.signal.not_after_unix_ms // 1000))
