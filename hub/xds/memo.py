"""Remembers what was made of what."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

T = TypeVar("T")

# Beyond, all is forgotten and made again.
_MOST = 65_536


class Memo:
    """Things by key; one is made anew when it is asked for and its sources are no longer the same objects."""

    def __init__(self) -> None:
        self._made: dict[tuple[object, ...], tuple[tuple[object, ...], Any]] = {}

    def made(self, key: tuple[object, ...], sources: tuple[object, ...], make: Callable[[], T]) -> T:
        """What was made of the same sources before, or is made now."""
        known = self._made.get(key)
        if known is not None and _same(known[0], sources):
            return cast(T, known[1])
        if len(self._made) >= _MOST:
            self._made.clear()
        thing = make()
        self._made[key] = (sources, thing)
        return thing


def _same(some: tuple[object, ...], others: tuple[object, ...]) -> bool:
    return len(some) == len(others) and all(one is other for one, other in zip(some, others, strict=True))
