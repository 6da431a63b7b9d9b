"""What a supervisor must know of a program to run it."""

import signal
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

Probe = Callable[[], Awaitable[bool]]


class CannotStartError(Exception):
    """A program can not start and trying again will not help; the sentence says what to do."""


async def _nothing_to_prepare(_log: Path) -> None:
    return


@dataclass(frozen=True)
class Program:
    """One program: how it is started, when it is ready, how it is ended."""

    name: str
    command: tuple[str, ...]
    ready: Probe
    # Before every start, with the program's log file. Raises CannotStartError.
    prepare: Callable[[Path], Awaitable[None]] = _nothing_to_prepare
    stop_signal: signal.Signals = signal.SIGTERM
    # What it gets when the supervisor vanishes.
    death_signal: signal.Signals = signal.SIGTERM
    # Run as this user (and its group of the same number); None: as who we are.
    uid: int | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
