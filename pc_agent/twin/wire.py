"""How a client finds the terminal and both prove themselves: endpoint.json, and a connection on loopback TCP.

A request is (function, arguments), a reply (code, message, value); code 1 is success.
"""

import json
import os
import socket
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client, Connection, answer_challenge, deliver_challenge
from pathlib import Path
from typing import Any

from pc_agent.twin.constants import RES_E_INTERNAL_FAIL_INIT, RES_S_OK

SUCCESS = (RES_S_OK, "Success")

Reply = tuple[int, str, Any]


class TerminalError(Exception):
    """A call that fails: what last_error will say."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True)
class Endpoint:
    """Where the terminal listens; only who can read its folder knows the key."""

    host: str
    port: int
    authkey: bytes

    def write(self, folder: Path) -> None:
        path = _path(folder)
        half = path.with_suffix(".half")
        half.unlink(missing_ok=True)
        with os.fdopen(os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            json.dump({"host": self.host, "port": self.port, "authkey": self.authkey.hex()}, file)
        half.replace(path)

    @classmethod
    def read(cls, folder: Path) -> "Endpoint":
        """Raises OSError when there is none, ValueError or KeyError when it is damaged."""
        fields = json.loads(_path(folder).read_text("utf-8"))
        return cls(str(fields["host"]), int(fields["port"]), bytes.fromhex(fields["authkey"]))


def forget_endpoint(folder: Path) -> None:
    _path(folder).unlink(missing_ok=True)


def dial(folder: Path, timeout_s: float) -> Connection:
    """Connect to the terminal that owns `folder`.

    Raises:
        TerminalError: there is no terminal, or it does not answer.
    """
    try:
        endpoint = Endpoint.read(folder)
    except (OSError, ValueError, KeyError):
        raise TerminalError(
            RES_E_INTERNAL_FAIL_INIT, f"IPC initialize failed, Process create failed '{folder}'"
        ) from None
    silent = f"IPC initialize failed, Pipe server didn't answer in {timeout_s:g} sec"
    try:
        connection = Client((endpoint.host, endpoint.port))
    except OSError:
        raise TerminalError(RES_E_INTERNAL_FAIL_INIT, silent) from None
    try:
        send_at_once(connection)
        # A process that is stopped still has its connections accepted by the kernel.
        if not connection.poll(timeout_s):
            raise TerminalError(RES_E_INTERNAL_FAIL_INIT, silent)
        answer_challenge(connection, endpoint.authkey)
        deliver_challenge(connection, endpoint.authkey)
    except TerminalError:
        connection.close()
        raise
    except (OSError, EOFError, AuthenticationError, AssertionError):
        connection.close()
        raise TerminalError(RES_E_INTERNAL_FAIL_INIT, silent) from None
    return connection


def admit(connection: Connection, authkey: bytes) -> bool:
    """The terminal's half of the handshake; False: whoever dialled did not know the key."""
    try:
        send_at_once(connection)
        deliver_challenge(connection, authkey)
        answer_challenge(connection, authkey)
    except (OSError, EOFError, AuthenticationError, AssertionError):
        return False
    return True


def send_at_once(connection: Connection) -> None:
    """Big replies go in two writes; the second must not wait until the first is acknowledged."""
    with socket.fromfd(connection.fileno(), socket.AF_INET, socket.SOCK_STREAM) as tcp:
        tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def hang_up(connection: Connection) -> None:
    """End the connection for both sides, also for a thread that waits on it."""
    with socket.fromfd(connection.fileno(), socket.AF_INET, socket.SOCK_STREAM) as tcp, suppress(OSError):
        tcp.shutdown(socket.SHUT_RDWR)  # fails only where the other side has hung up already


def _path(folder: Path) -> Path:
    return folder / "endpoint.json"
