"""Named places where a test lets a process die.

`SUHO_FAILPOINTS="order_send.inside=kill@/path/marker"` kills the process with SIGKILL the first time it passes
that place; the marker file, made just before, keeps its successor alive. Without the variable nothing happens.
"""

import os
import signal
from pathlib import Path

from mesh.environment import environment

FAILPOINTS = "SUHO_FAILPOINTS"


def failpoint(name: str) -> None:
    """Die here, once, when SUHO_FAILPOINTS says so."""
    for entry in environment(FAILPOINTS).split(","):
        place, _, action = entry.partition("=")
        verb, _, marker = action.partition("@")
        if place == name and verb == "kill" and not Path(marker).exists():
            Path(marker).touch()
            os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))
