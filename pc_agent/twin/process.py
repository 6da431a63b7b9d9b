"""Starts a twin terminal from a script or a test: one line in place of a terminal64.exe that runs already."""

import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pc_agent.twin.control import TwinUnreachableError, feed_status

_STARTS_WITHIN_S = 30.0
_ENDS_WITHIN_S = 10.0
_LOOK_S = 0.02


class TwinFailedError(RuntimeError):
    """The twin did not start; the message is what it said."""


@contextmanager
def twin_terminal(folder: Path | None = None, **settings: Any) -> Iterator[Path]:
    """Run a twin with these settings (`pc_agent.twin.config`) while entered; yields the folder: `initialize`'s path.

        with twin_terminal(feeds=["EURUSD=ticks.csv"], speed="max") as path:
            mt5.initialize(str(path))

    Without a folder its market and account are gone afterwards. It inherits the environment.

    Raises:
        TwinFailedError
    """
    with TemporaryDirectory(prefix="suho-twin-") as own:
        home = folder or Path(own) / "terminal"
        config = Path(own) / "twin.toml"
        given = {"folder": str(home), "password": secrets.token_hex(8), **settings}
        with os.fdopen(os.open(config, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.writelines(f"{name} = {_toml(value)}\n" for name, value in given.items())
        log = Path(own) / "twin.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "pc_agent.twin", "--config", str(config)], stdout=output, stderr=output
            )
        try:
            _wait(process, home, log)
            yield home
        finally:
            _end(process)


def _wait(process: subprocess.Popen[bytes], folder: Path, log: Path) -> None:
    until = time.monotonic() + _STARTS_WITHIN_S
    while True:
        if process.poll() is not None:
            raise TwinFailedError(log.read_text("utf-8", errors="replace").strip())
        try:
            feed_status(folder)
        except TwinUnreachableError as error:
            if time.monotonic() > until:
                raise TwinFailedError(str(error)) from None
            time.sleep(_LOOK_S)
        else:
            return


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_ENDS_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _toml(value: object) -> str:
    """JSON's texts, numbers and lists are TOML's too."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{json.dumps(key)} = {_toml(one)}' for key, one in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(_toml(one) for one in value)}]"
    return json.dumps(str(value) if isinstance(value, Path) else value)
