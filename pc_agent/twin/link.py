"""A client's one connection to the terminal, and what last_error says of it."""

from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from mesh.failpoint import failpoint
from pc_agent.readable import readable
from pc_agent.twin import constants as mt5
from pc_agent.twin.wire import TerminalError, dial

NO_CONNECTION = (mt5.RES_E_INTERNAL_FAIL_CONNECT, "No IPC connection")
SEND_FAILED = (mt5.RES_E_INTERNAL_FAIL_SEND, "IPC send failed")
RECEIVE_FAILED = (mt5.RES_E_INTERNAL_FAIL_RECEIVE, "IPC recv failed")
TIMED_OUT = (mt5.RES_E_INTERNAL_FAIL_TIMEOUT, "IPC timeout")
# What these two say without a connection, in place of NO_CONNECTION (observed).
_VERSION_FIRST = ("symbols_total", "symbols_get")
WRONG_VERSION = (
    mt5.RES_E_INVALID_VERSION,
    "Terminal: Incompatible versions, please install the latest version of Terminal and Python module",
)


class Link:
    """One question at a time; after any failure on the wire it is closed until `open` is called again."""

    def __init__(self) -> None:
        self._connection: Connection | None = None
        self._answers: Callable[[float], bool]
        self._timeout_s = 60.0

    def open(self, folder: Path, timeout_s: float) -> None:
        """Raises TerminalError when the terminal is not there."""
        self.close()
        self._timeout_s = timeout_s
        self._connection = dial(folder, timeout_s)
        self._answers = readable(self._connection)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def ask(self, function: str, *arguments: object) -> Any:
        """The terminal's answer.

        Raises:
            TerminalError: the terminal refused, or the wire failed; what was asked may have happened all the same.
        """
        if self._connection is None:
            raise TerminalError(*(WRONG_VERSION if function in _VERSION_FIRST else NO_CONNECTION))
        try:
            self._connection.send((function, arguments))
        except OSError:
            self.close()
            raise TerminalError(*SEND_FAILED) from None
        failpoint(f"{function}.inside")
        try:
            if not self._answers(self._timeout_s):
                self.close()  # an answer that comes late must not be taken for that of the next question
                raise TerminalError(*TIMED_OUT)
            code, message, value = self._connection.recv()
        except (OSError, EOFError):
            self.close()
            raise TerminalError(*RECEIVE_FAILED) from None
        if code != mt5.RES_S_OK:
            raise TerminalError(code, message)
        return value
