"""May an order be sent now, and until when."""

from collections.abc import Callable
from typing import Protocol

from mesh.clock import boot_ns, unix_ns
from pc_agent.domain.orders import Signal
from pc_agent.domain.server_clock import Lease, ServerClock

_FOR_EVER_NS = 2**62


class OwningTerminal(Protocol):
    """Does the terminal that has the symbol answer?"""

    def is_ready(self, symbol: str) -> bool: ...


class Permission:
    """The symbol's terminal answers, and what was left from before has been compared with its books; for the engine's
    signals its clock is known and its lease holds too. The agent's own, which have no place in the sequence, go by the
    PC's clock and need no lease.
    """

    def __init__(
        self, terminal: OwningTerminal, clock: ServerClock, lease: Lease, is_ready: Callable[[], bool]
    ) -> None:
        self._terminal = terminal
        self._clock = clock
        self._lease = lease
        self._is_ready = is_ready

    def holds(self, signal: Signal) -> bool:
        """May it be sent at this moment?"""
        if not (self._is_ready() and self._terminal.is_ready(signal.symbol)):
            return False
        if signal.seq == 0:
            return True
        now = boot_ns()
        return self._clock.unix_ns(now) is not None and self._lease.holds(now)

    def is_late(self, signal: Signal) -> bool:
        """Is its time known to be over?"""
        now = self._now_ns(signal, boot_ns())
        return now is not None and now >= signal.not_after_unix_ms * 1_000_000

    def expires_ns(self, signal: Signal) -> int:
        """When the signal's own time is over, since the PC's start; asked while the permission holds."""
        read_ns = boot_ns()
        now = self._now_ns(signal, read_ns)
        assert now is not None
        return read_ns + signal.not_after_unix_ms * 1_000_000 - now

    def lease_until_ns(self, signal: Signal) -> int:
        """When the permission is over, since the PC's start."""
        return _FOR_EVER_NS if signal.seq == 0 else self._lease.until_ns

    def engine_ms(self) -> int | None:
        """By the engine's clock, at its latest."""
        now = self._clock.latest_unix_ns(boot_ns())
        return None if now is None else now // 1_000_000

    def clock_offset_ns(self) -> int:
        """The engine's clock less the PC's; 0: not known."""
        now = self._clock.unix_ns(boot_ns())
        return 0 if now is None else now - unix_ns()

    def _now_ns(self, signal: Signal, read_ns: int) -> int | None:
        """On the clock that the signal's time is told by, at its latest."""
        return unix_ns() if signal.seq == 0 else self._clock.latest_unix_ns(read_ns)
