"""Where an instance stands."""

from enum import StrEnum


class Status(StrEnum):
    """Whether an instance may be called; only UP ones are handed out."""

    STARTING = "STARTING"
    UP = "UP"
    DRAINING = "DRAINING"
    OUT_OF_SERVICE = "OUT_OF_SERVICE"
    DOWN = "DOWN"
    EXPIRED = "EXPIRED"
