"""Where the agent's own service is, and the token that opens it: a file that only its owner can read."""

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

FILE = "endpoint.json"


class NoAgentError(Exception):
    """Nothing tells where the agent of a state folder is."""


@dataclass(frozen=True)
class Endpoint:
    """`address` as host:port; `token` goes with each call, as `authorization: Bearer TOKEN`."""

    address: str
    token: str
    pid: int

    def __repr__(self) -> str:  # a token stands in no log
        return f"Endpoint({self.address}, pid {self.pid})"


def new_token() -> str:
    return secrets.token_urlsafe(32)


@contextmanager
def told(folder: Path, endpoint: Endpoint) -> Iterator[None]:
    """Written while the service stands, taken away behind it."""
    path = folder / FILE
    new = path.with_name(f"{FILE}.new")
    new.unlink(missing_ok=True)
    # Made so that nobody else could open it even for a moment.
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        json.dump({"address": endpoint.address, "token": endpoint.token, "pid": endpoint.pid}, file)
    new.replace(path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def find(folder: Path) -> Endpoint:
    """The endpoint of the agent that runs on `folder`.

    Raises:
        NoAgentError: none does, or what it wrote can not be read.
    """
    path = folder / FILE
    try:
        facts = json.loads(path.read_text("utf-8"))
        return Endpoint(str(facts["address"]), str(facts["token"]), int(facts["pid"]))
    except FileNotFoundError:
        raise NoAgentError(
            f"no agent runs on {folder}: there is no {FILE}; name its folder with --agent-state"
        ) from None
    except PermissionError:
        raise NoAgentError(f"{path} belongs to somebody else: only who runs the agent may steer it") from None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise NoAgentError(f"{path} can not be read: {error}") from None
