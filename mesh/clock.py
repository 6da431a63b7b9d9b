"""The clocks: the wall's, in the units that the contract uses, and the machine's own.

Rules take the time as a parameter; edges call these.
"""

import sys
import time


def unix_ns() -> int:
    return time.time_ns()


def unix_ms() -> int:
    return time.time_ns() // 1_000_000


def boot_ns() -> int:
    """Since the machine was started, its sleep included: what was granted before it slept is over.

    Nobody sets it, it is fine enough to time a call, and all processes of the machine read the same. Python's
    `monotonic` stands while Linux or macOS sleeps, and moves in steps of 16 ms on Windows.
    """
    if sys.platform == "linux":
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    if sys.platform == "win32":
        return time.perf_counter_ns()
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC)
