"""Serves the terminal to whoever knows its key: one thread a connection."""

import secrets
import socket
import threading
from multiprocessing.connection import Connection, Listener
from pathlib import Path
from types import TracebackType
from typing import Self

from mesh.log import get_logger
from pc_agent.twin.terminal import Terminal
from pc_agent.twin.wire import Endpoint, admit, forget_endpoint, hang_up

HOST = "127.0.0.1"

_log = get_logger(__name__)


class TerminalListener:
    """Listens while entered; the endpoint file says where."""

    def __init__(self, terminal: Terminal, folder: Path) -> None:
        self._terminal = terminal
        self._folder = folder
        self._authkey = secrets.token_bytes(32)
        self._stopping = False
        self._open: set[Connection] = set()
        self._open_lock = threading.Lock()

    def __enter__(self) -> Self:
        self._listener = Listener((HOST, 0), "AF_INET", backlog=16)
        self.port: int = self._listener.address[1]
        # Daemons: a thread that a stuck client holds must not keep a stopped terminal alive.
        threading.Thread(target=self._accept, name="accept", daemon=True).start()
        Endpoint(HOST, self.port, self._authkey).write(self._folder)
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        forget_endpoint(self._folder)
        self._stopping = True
        socket.create_connection((HOST, self.port)).close()  # wakes the thread that accepts
        with self._open_lock:
            for connection in self._open:
                hang_up(connection)

    def _accept(self) -> None:
        with self._listener:
            while True:
                connection = self._listener.accept()
                with self._open_lock:
                    if self._stopping:
                        connection.close()
                        return
                    self._open.add(connection)
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: Connection) -> None:
        try:
            if not admit(connection, self._authkey):
                _log.warning("a client did not know the terminal's key")
                return
            while True:
                function, arguments = connection.recv()
                connection.send(self._terminal.handle(function, arguments))
        except (EOFError, OSError):
            return  # the client is gone; what it asked for is done
        finally:
            with self._open_lock:
                self._open.discard(connection)
                connection.close()
