"""Ends what a killed `suho up` leaves behind, and gives its state folder free after that.

A program of its own that imports nothing of ours, so that it starts in a moment. Standard input is a pipe from
`suho up`: "+PID SIGNAL" and "-PID" lines say who is running; its end says that `suho up` is gone. It inherits the
lock of the state folder, so that the next start waits until the last process of the previous one has ended.
"""

import contextlib
import os
import shutil
import signal
import sys
import time

_PATIENCE_S = 1.5


def main(ephemeral: str = "") -> None:
    """Watch until standard input ends; then end every group, and remove the folder `ephemeral`."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    running: dict[int, int] = {}
    for line in sys.stdin:
        if line.startswith("+"):
            pid, death_signal = line[1:].split()
            running[int(pid)] = int(death_signal)
        else:
            running.pop(int(line[1:]), None)
    _end(running)
    if ephemeral:
        shutil.rmtree(ephemeral, ignore_errors=True)


def _end(running: dict[int, int]) -> None:
    for pid, death_signal in running.items():
        _signal_group(pid, death_signal)
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline and any(_signal_group(pid, 0) for pid in running):
        time.sleep(0.02)
    for pid in running:
        _signal_group(pid, signal.SIGKILL)


def _signal_group(pid: int, number: int) -> bool:
    """Whether there was anyone to get it."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)
        return True
    return False


if __name__ == "__main__":
    main(*sys.argv[1:])
