"""What the bridge needs of the log and of the stored ticks; `jetstream.py` and `database.py` provide it."""

from dataclasses import dataclass
from typing import Protocol

from mesh.market import BEFORE_FIRST, TickId
from services.data_bridge.domain.progress import SymbolKey


@dataclass(frozen=True, slots=True)
class LogEnd:
    """How far a symbol got: its newest tick, that tick's quote (0 when it is not known), its message's number.

    `seq` is 0 when the log holds no message of the symbol; `marker` is that message where it marks a quarantine.
    """

    seq: int = 0
    last: TickId = BEFORE_FIRST
    bid: float = 0.0
    ask: float = 0.0
    marker: bytes = b""


class LogUnavailableError(Exception):
    """The log could not be asked, or did not say whether it took a message; the text says why."""


class LogMovedError(Exception):
    """The log refused a message: its last one of the symbol is not the expected one."""


class Log(Protocol):
    """The durable log of ticks, a subject a symbol."""

    async def end(self, key: SymbolKey) -> LogEnd | None:
        """The symbol's newest message; None when there is none. Raises LogUnavailableError."""

    async def append(self, key: SymbolKey, payload: bytes, expected_seq: int) -> int:
        """Append a message and return its number, if the symbol's last one is `expected_seq`.

        Raises LogMovedError, and LogUnavailableError when it is not known whether it was appended.
        """


class Stored(Protocol):
    """The ticks at rest."""

    async def end(self, key: SymbolKey) -> LogEnd:
        """The newest stored tick, with `seq` 0. Raises LogUnavailableError."""
