"""How a program begins and ends."""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Literal, TypeVar

from mesh.config import ProgramSettings, SettingsError, load_settings
from mesh.console import told_to_end
from mesh.log import configure_logging, get_logger
from mesh.telemetry import configure_telemetry

S = TypeVar("S", bound=ProgramSettings)

# sysexits.h: a supervisor must not start it again with the same settings.
EX_CONFIG = 78


class Stop(asyncio.Event):
    """Set when the program is to end.

    A program that nobody has let wait for it yet is still starting, perhaps waiting for an engine: it is cancelled.
    """

    def __init__(self) -> None:
        super().__init__()
        self._task = asyncio.current_task()
        self._awaited = False

    async def wait(self) -> Literal[True]:
        self._awaited = True
        return await super().wait()

    def set(self) -> None:
        super().set()
        if not self._awaited and self._task is not None:
            self._task.cancel()


def run(program: str, settings_cls: type[S], main: Callable[[S, asyncio.Event], Awaitable[None]]) -> int:
    """Load the settings and run `main` until it returns; SIGTERM and SIGINT set its stop event.

    Returns the process's exit status: 78 when a setting is wrong, which it says on standard error.
    """
    try:
        settings = load_settings(settings_cls, program, sys.argv[1:])
        file = settings.log_dir / f"{program}.log" if settings.log_dir else None
        configure_logging(program, settings.instance, settings.log_level, settings.log_format, file)
        configure_telemetry(program, settings.instance, settings.metrics_port)
        asyncio.run(_until_signalled(settings, main))
    except SettingsError as error:
        sys.stderr.write(f"{program} can not start: {error}\n")
        return EX_CONFIG
    except BaseExceptionGroup as group:
        wrong, rest = group.split(SettingsError)
        if wrong is None or rest is not None:
            raise
        for leaf in _leaves(wrong):
            sys.stderr.write(f"{program} can not start: {leaf}\n")
        return EX_CONFIG
    return 0


async def _until_signalled(settings: S, main: Callable[[S, asyncio.Event], Awaitable[None]]) -> None:
    stop = Stop()
    loop = asyncio.get_running_loop()
    log = get_logger(__name__)
    _obey_signals(loop, stop)
    log.info("starting", pid=os.getpid())
    with told_to_end(lambda: _later(loop, stop.set)):
        try:
            await main(settings, stop)
        except asyncio.CancelledError:
            if not stop.is_set():
                raise
    log.info("stopped")


def _obey_signals(loop: asyncio.AbstractEventLoop, stop: Stop) -> None:
    if sys.platform == "win32":  # its event loop knows no signal handlers
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGBREAK):
            signal.signal(number, lambda *_: _later(loop, stop.set))
    else:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)


def on_user_signal(what: Callable[[], None]) -> None:
    """Call `what` in the event loop at each SIGUSR1, which would end the program otherwise; Windows has no such."""
    if sys.platform != "win32":
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, what)


def _later(loop: asyncio.AbstractEventLoop, what: Callable[[], None]) -> None:
    with suppress(RuntimeError):  # the loop is closed: it has ended already
        loop.call_soon_threadsafe(what)


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    found: list[BaseException] = []
    for error in group.exceptions:
        found += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found
