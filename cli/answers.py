"""Asking many at once: one that fails calls off no other; all of it is told, and the worst ends the command."""

import asyncio
import sys
from collections.abc import Awaitable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import grpc

from cli.output import EXIT_UNREACHABLE, NotAnsweredError, status_of
from mesh.errors import MeshError, Reason

T = TypeVar("T")


@dataclass(frozen=True)
class Answer(Generic[T]):
    """What came of one call: `of` whom, or about what. Without an answer why there is none, with the reason that it
    bears, and the status that this alone would end a command with."""

    of: str
    answer: T | None
    because: str = ""
    reason: Reason | None = None
    status: int = 0


async def ask_each(calls: Mapping[str, Awaitable[T]]) -> list[Answer[T]]:
    """All at once, and each to its end, whatever becomes of the others."""
    ended = await asyncio.gather(*calls.values(), return_exceptions=True)
    return [_answer(of, result) for of, result in zip(calls, ended, strict=True)]


def _answer(of: str, result: T | BaseException) -> Answer[T]:
    if isinstance(result, grpc.aio.AioRpcError):
        refusal = MeshError.of(result)
        return Answer(of, None, refusal.message, refusal.reason, status_of(refusal))
    if isinstance(result, NotAnsweredError):
        return Answer(of, None, str(result), status=EXIT_UNREACHABLE)
    if isinstance(result, BaseException):
        raise result
    return Answer(of, result)


def failures(failed: Iterable[Answer[Any]]) -> list[dict[str, Any]]:
    """For programs."""
    return [{"of": one.of, "reason": one.reason, "message": one.because} for one in failed]


def tell_failures(failed: Iterable[Answer[Any]]) -> int:
    """For people, a line each on standard error; the worst of their statuses, 0: there are none."""
    worst = 0
    for one in failed:
        why = f"{one.because} [{one.reason}]" if one.reason else one.because
        sys.stderr.write(f"suho: {one.of}: {why}\n")
        worst = max(worst, one.status)
    return worst
