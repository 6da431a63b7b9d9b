"""Names on the bus. Server and symbol may hold dots, spaces and '#': they are encoded here and nowhere else."""

import re

# Live ticks; and what comes later: healed gaps, imports, corrections. Each has a position of its own in the store.
TICKS_STREAM = "TICKS"
BACKFILL_STREAM = "BACKFILL"
# A stream's metadata: its epoch (unix nanoseconds), the message behind which the epoch began, and the message up to
# which every sink had stored it when it was last purged.
EPOCH_METADATA = "suho-epoch"
EPOCH_START_METADATA = "suho-epoch-start"
PURGED_METADATA = "suho-purged"
_TICKS = "ticks"
_BACKFILL = "backfill"
_CORRECTIONS = "corrections"
_HISTORY = "history"
_UNSAFE = re.compile(rb"[^A-Za-z0-9_-]")


def encode(name: str) -> str:
    """A NATS token for any name: bytes other than letters, digits, '_' and '-' become '=XX'."""
    return _UNSAFE.sub(lambda m: b"=%02X" % m.group()[0], name.encode()).decode("ascii")


def decode(token: str) -> str:
    return re.sub(r"(?:=[0-9A-F]{2})+", lambda m: bytes.fromhex(m.group().replace("=", "")).decode(), token)


def tick_subject(server: str, symbol: str) -> str:
    """`ticks.<server>.<symbol>`; an empty name stands for any."""
    return _subject(_TICKS, server, symbol)


def backfill_subject(server: str, symbol: str) -> str:
    """Ticks that were missing, of the generation that stands."""
    return _subject(_BACKFILL, server, symbol)


def correction_subject(server: str, symbol: str) -> str:
    """Ticks of a higher generation."""
    return _subject(_CORRECTIONS, server, symbol)


def history_subject(server: str, symbol: str) -> str:
    """Where questions about a terminal's history go: the bridge that holds the symbol's source answers."""
    return _subject(_HISTORY, server, symbol)


def all_ticks() -> str:
    return f"{_TICKS}.>"


def stream_subjects(stream: str) -> list[str]:
    """What a stream of ticks holds."""
    return {TICKS_STREAM: [all_ticks()], BACKFILL_STREAM: [f"{_BACKFILL}.>", f"{_CORRECTIONS}.>"]}[stream]


def parse_tick_subject(subject: str) -> tuple[str, str]:
    """(server, symbol) of a subject of any stream of ticks, or of questions."""
    prefix, server, symbol = subject.split(".")
    if prefix not in (_TICKS, _BACKFILL, _CORRECTIONS, _HISTORY):
        raise ValueError(f"{subject!r} is not a tick subject")
    return decode(server), decode(symbol)


def _subject(prefix: str, server: str, symbol: str) -> str:
    return f"{prefix}.{encode(server) or '*'}.{encode(symbol) or '*'}"
