"""The wall clock, in the units that the contract uses. Rules take the time as a parameter; edges call this."""

import time


def unix_ns() -> int:
    return time.time_ns()


def unix_ms() -> int:
    return time.time_ns() // 1_000_000
