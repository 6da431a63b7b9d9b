"""Structured logs: JSON lines, or readable on a terminal; to standard error, or to files of bounded size."""

import logging
import sys
import traceback
from collections import Counter
from collections.abc import Callable
from functools import partial
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias, cast

from mesh.plain_structlog import structlog

_SECRET_WORDS = ("password", "secret", "token", "authkey", "dsn", "credential")
_FILE_BYTES, _FILES = 10_000_000, 5
_TROUBLES = 50
_TROUBLE_LETTERS = 500
_LINES_A_MINUTE = 10
# Said of every line, or elsewhere.
_NOT_TOLD = frozenset({"event", "level", "timestamp", "program", "instance", "exc_info", "exception"})
# Where in a program it was, and how far that had got: with another one of these it is the same trouble.
_NOT_WHAT = frozenset({"cursor", "lane", "pid", "retry_s"})
_MakeFormatter: TypeAlias = Callable[[list[structlog.typing.Processor]], logging.Formatter]


class Trouble(NamedTuple):
    """A warning or an error that was logged, how often, and when the last time."""

    at_unix_ms: int
    message: str
    times: int = 1


def configure_logging(program: str, instance: str, level: str, log_format: str, file: Path | None = None) -> None:
    """Set up structlog and route the standard library's records through it. Call once, at start.

    With `file` lines go there, and are seen on a terminal too; five older files of 10 MB are kept beside it.
    """
    is_terminal = sys.stderr is not None and sys.stderr.isatty()  # none where Windows has no console
    readable = log_format == "console" or (log_format == "auto" and is_terminal)
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _redact,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    root = logging.getLogger()
    root.handlers[:] = [_RecentTroubles(partial(_formatter, shared))]
    if is_terminal or (file is None and sys.stderr is not None):
        _add(root, logging.StreamHandler(sys.stderr), _formatter(shared, _rendering(readable, is_terminal)))
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        kept = _rotating(file)
        kept.addFilter(_Repetitions(partial(_formatter, shared)))
        _add(root, kept, _formatter(shared, _rendering(log_format == "console", False)))
    set_level(level)
    structlog.contextvars.bind_contextvars(program=program, instance=instance)


def set_level(level: str) -> None:
    """Log from now on what is at least so severe."""
    logging.getLogger().setLevel(level.upper())


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    return cast(structlog.stdlib.BoundLogger, structlog.get_logger(name))


def recent_troubles() -> list[Trouble]:
    """The newest warnings and errors of this process, newest first; one that came again stands there once."""
    kept = [handler for handler in logging.getLogger().handlers if isinstance(handler, _RecentTroubles)]
    return [trouble for handler in kept for trouble in handler.newest()]


class _Repetitions(logging.Filter):
    """Of one trouble ten lines a minute, or a lane that tries again each second would push the day out of the files."""

    def __init__(self, formatter: _MakeFormatter) -> None:
        super().__init__()
        self._what = _what(formatter)
        self._minute = 0
        self._lines: Counter[str] = Counter()

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING:
            return True
        if self._minute != (minute := int(record.created // 60)):
            self._minute, self._lines = minute, Counter()
        what = self._what.format(record)
        self._lines[what] += 1
        return self._lines[what] <= _LINES_A_MINUTE


class _RecentTroubles(logging.Handler):
    """What repeats itself takes one place, or a lane that tries again each second would push all others out."""

    def __init__(self, formatter: _MakeFormatter) -> None:
        super().__init__(logging.WARNING)
        self.setFormatter(formatter([partial(_told, _NOT_TOLD)]))
        self._what = _what(formatter)
        # By what it is, the newest last.
        self._troubles: dict[str, Trouble] = {}

    def emit(self, record: logging.LogRecord) -> None:
        what, at_unix_ms = self._what.format(record)[:_TROUBLE_LETTERS], int(record.created * 1000)
        if before := self._troubles.pop(what, None):
            self._troubles[what] = Trouble(at_unix_ms, what, before.times + 1)
            return
        self._troubles[what] = Trouble(at_unix_ms, self.format(record)[:_TROUBLE_LETTERS])
        if len(self._troubles) > _TROUBLES:
            del self._troubles[next(iter(self._troubles))]

    def newest(self) -> list[Trouble]:
        self.acquire()  # other threads log
        try:
            return list(reversed(self._troubles.values()))
        finally:
            self.release()


def _what(formatter: _MakeFormatter) -> logging.Formatter:
    """What trouble a line tells of."""
    return formatter([_with_fault, partial(_told, _NOT_TOLD | _NOT_WHAT)])


def _with_fault(_: Any, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Which exception, and whence; not its text, which may hold anything."""
    error = event.get("exc_info")
    if error is True:
        error = sys.exc_info()
    if isinstance(error, tuple):
        error = error[1]
    if isinstance(error, BaseException):
        raised = traceback.extract_tb(error.__traceback__)[-1:]
        places = [f"at {Path(frame.filename).name}:{frame.lineno}" for frame in raised]
        event["fault"] = " ".join([type(error).__name__, *places])
    return event


def _add(root: logging.Logger, handler: logging.Handler, formatter: logging.Formatter) -> None:
    handler.setFormatter(formatter)
    root.addHandler(handler)


def _rotating(file: Path) -> logging.Handler:
    return RotatingFileHandler(file, maxBytes=_FILE_BYTES, backupCount=_FILES, encoding="utf-8", delay=True)


def _formatter(
    shared: list[structlog.typing.Processor], last: list[structlog.typing.Processor]
) -> structlog.stdlib.ProcessorFormatter:
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last]
    )


def _rendering(readable: bool, colors: bool) -> list[structlog.typing.Processor]:
    if readable:
        # Plain tracebacks: the rich ones show locals, and locals hold secrets.
        return [structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=structlog.dev.plain_traceback)]
    return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(default=str)]


def _told(without: frozenset[str], _: Any, __: str, event: structlog.typing.EventDict) -> str:
    """In one line, for a person; `without` some facts."""
    facts = [f"{key} {value}" for key, value in event.items() if key not in without]
    return ": ".join(filter(None, (" ".join(str(event["event"]).split()), ", ".join(facts))))


def _redact(_: Any, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    for key in event:
        if any(word in key.lower() for word in _SECRET_WORDS):
            event[key] = "***"
    return event
