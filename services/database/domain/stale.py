"""Which stretches of which symbols' time are to be computed again."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

# More stretches of one symbol than this are taken as one that holds them all.
_MOST_STRETCHES = 64


class Stretch(NamedTuple):
    """[from_msc, to_msc) of one symbol's time."""

    server: str
    symbol: str
    from_msc: int
    to_msc: int


class StaleTimes:
    """Stretches [from_msc, to_msc) by (server, symbol); those that touch are one. Bounded for each symbol."""

    def __init__(self) -> None:
        self._stretches: dict[tuple[str, str], list[tuple[int, int]]] = {}

    def __len__(self) -> int:
        """How many symbols have any."""
        return len(self._stretches)

    def add(self, server: str, symbol: str, from_msc: int, to_msc: int) -> None:
        stretches = self._stretches.get((server, symbol), [])
        if any(start <= from_msc and to_msc <= stop for start, stop in stretches):
            return
        apart = [(start, stop) for start, stop in stretches if stop < from_msc or to_msc < start]
        touching = [(start, stop) for start, stop in stretches if stop >= from_msc and to_msc >= start]
        merged = (min([from_msc, *(start for start, _ in touching)]), max([to_msc, *(stop for _, stop in touching)]))
        every = [*apart, merged]
        if len(every) > _MOST_STRETCHES:
            every = [(min(start for start, _ in every), max(stop for _, stop in every))]
        self._stretches[server, symbol] = every

    def take(self, server: str, symbol: str) -> list[Stretch]:
        """Its stretches, which are no longer here."""
        return [Stretch(server, symbol, *stretch) for stretch in sorted(self._stretches.pop((server, symbol), []))]

    def symbols(self) -> Iterator[tuple[str, str]]:
        """As they are now."""
        yield from list(self._stretches)


def together(stretches: Iterable[Stretch], most: int, longest_ms: int) -> Iterator[list[Stretch]]:
    """The stretches in groups of at most `most`, that amount to at most `longest_ms` each; longer ones are cut."""
    group: list[Stretch] = []
    length_ms = 0
    for whole in stretches:
        for start in range(whole.from_msc, whole.to_msc, longest_ms):
            piece = whole._replace(from_msc=start, to_msc=min(start + longest_ms, whole.to_msc))
            piece_ms = piece.to_msc - piece.from_msc
            if group and (len(group) == most or length_ms + piece_ms > longest_ms):
                yield group
                group, length_ms = [], 0
            group.append(piece)
            length_ms += piece_ms
    if group:
        yield group
