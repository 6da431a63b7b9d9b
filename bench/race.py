"""One sender here, one receiver in a process of its own: how many ticks a second arrive."""

import multiprocessing
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection

from bench.source import Source

# A receiver tells its address as soon as it listens, and once more when it has had all ticks.
Receive = Callable[["Connection[object, object]", int], None]
# Sends every tick of the source to the address; gives their number.
Send = Callable[[str, Source], int]

_START_S = 30
_LONGEST_S = 120


@dataclass(frozen=True)
class Racer:
    """Somebody who brings ticks from one process to another."""

    name: str
    what: str
    receive: Receive
    send: Send
    # Ticks that take a few seconds.
    most: int


class NoShowError(Exception):
    """A racer could not take part; the message says why."""


def race(racer: Racer, source: Source) -> float:
    """Ticks a second, from the first sent to the last received.

    Raises:
        NoShowError: it ended, or had not all ticks in time.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    ticks = min(source.ticks // len(source.symbols), racer.most // len(source.symbols)) * len(source.symbols)
    process = context.Process(target=racer.receive, args=(theirs, ticks), name=f"bench {racer.name}", daemon=True)
    process.start()
    theirs.close()
    try:
        address = str(_heard(ours, _START_S, racer.name))
        began = time.perf_counter()
        sent = racer.send(address, source)
        received = _heard(ours, _LONGEST_S, racer.name)
        seconds = time.perf_counter() - began
    finally:
        process.kill()
        process.join()
    if received != sent:
        raise NoShowError(f"{racer.name}: sent {sent:,} ticks, {received} arrived")
    return sent / seconds


def _heard(pipe: "Connection[object, object]", patience_s: float, name: str) -> object:
    if not pipe.poll(patience_s):
        raise NoShowError(f"{name}: silent for {patience_s:g} s")
    try:
        return pipe.recv()
    except EOFError:
        raise NoShowError(f"{name}: its process ended") from None
