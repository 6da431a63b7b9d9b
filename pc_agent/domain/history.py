"""Questions about what the terminal's history holds in a range: what may be asked, and what the parts add up to."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

import numpy.typing as npt

from mesh.market import TickId
from mesh.market.digest import Digest, add, digests

MOST_DIGESTS = 10_000
LAST_ORDINAL = 2**32 - 1
_SECOND_MS = 1000


class Question(Enum):
    DIGEST = auto()
    RESEND = auto()
    POSITION = auto()


@dataclass(frozen=True, slots=True)
class Asked:
    """One question; server time [from_msc, to_msc)."""

    request: int
    symbol: str
    question: Question | None
    from_msc: int
    to_msc: int
    bucket_ms: int

    def fault(self) -> str:
        """Why it can not be answered, in words; empty: it can."""
        if self.question is None:
            return "the question is not one of DIGEST, RESEND and POSITION"
        if self.question is Question.POSITION:
            return ""
        if not 0 <= self.from_msc < self.to_msc:
            return f"the range must begin at 0 or later and before its end, not [{self.from_msc}, {self.to_msc})"
        if self.from_msc % _SECOND_MS or self.to_msc % _SECOND_MS:
            return "the range must be of whole seconds"
        if self.question is Question.RESEND:
            return ""
        span = self.to_msc - self.from_msc
        if not self.bucket_ms or span % self.bucket_ms:
            return "bucket_ms must divide the range"
        if span // self.bucket_ms > MOST_DIGESTS:
            return f"at most {MOST_DIGESTS} digests are computed at once: ask for longer buckets or a shorter range"
        return ""

    @property
    def before(self) -> TickId:
        """Stands before the first tick of the range."""
        return before(self.from_msc)


def before(msc: int) -> TickId:
    """Stands before every tick of `msc` and after every earlier one."""
    return TickId(max(0, msc - 1), LAST_ORDINAL if msc > 0 else 0)


def touched_digests(columns: Mapping[str, npt.NDArray[Any]], from_msc: int, bucket_ms: int) -> list[Digest]:
    """Of the buckets that these ticks, which ascend and do not begin before `from_msc`, lie in."""
    if not len(columns["time_msc"]):
        return []
    first, last = (int(columns["time_msc"][at] - from_msc) // bucket_ms for at in (0, -1))
    return digests(columns, from_msc + first * bucket_ms, from_msc + (last + 1) * bucket_ms, bucket_ms)


class DigestSum:
    """The digests of a question, from those of its pages."""

    def __init__(self, asked: Asked) -> None:
        starts = range(asked.from_msc, asked.to_msc, asked.bucket_ms)
        self._buckets = {start: Digest(start, start + asked.bucket_ms, 0, 0) for start in starts}

    def add(self, parts: Iterable[Digest]) -> None:
        for part in parts:
            self._buckets[part.from_msc] = add(self._buckets[part.from_msc], part)

    def digests(self) -> list[Digest]:
        """One for each bucket, empty ones too."""
        return list(self._buckets.values())
