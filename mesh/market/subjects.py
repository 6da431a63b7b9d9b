"""Names on the bus. Server and symbol may hold dots, spaces and '#': they are encoded here and nowhere else."""

import re

TICKS_STREAM = "TICKS"
EPOCH_METADATA = "suho-epoch"
_PREFIX = "ticks"
_UNSAFE = re.compile(rb"[^A-Za-z0-9_-]")


def encode(name: str) -> str:
    """A NATS token for any name: bytes other than letters, digits, '_' and '-' become '=XX'."""
    return _UNSAFE.sub(lambda m: b"=%02X" % m.group()[0], name.encode()).decode("ascii")


def decode(token: str) -> str:
    return re.sub(r"(?:=[0-9A-F]{2})+", lambda m: bytes.fromhex(m.group().replace("=", "")).decode(), token)


def tick_subject(server: str, symbol: str) -> str:
    """`ticks.<server>.<symbol>`; an empty name stands for any."""
    return f"{_PREFIX}.{encode(server) or '*'}.{encode(symbol) or '*'}"


def all_ticks() -> str:
    return f"{_PREFIX}.>"


def parse_tick_subject(subject: str) -> tuple[str, str]:
    """(server, symbol) of a tick subject."""
    prefix, server, symbol = subject.split(".")
    if prefix != _PREFIX:
        raise ValueError(f"{subject!r} is not a tick subject")
    return decode(server), decode(symbol)
