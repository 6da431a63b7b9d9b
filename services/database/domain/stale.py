"""Which stretches of which symbols' time are to be computed again."""

from collections.abc import Iterator

# More stretches of one symbol than this are taken as one that holds them all.
_MOST_STRETCHES = 64


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

    def take(self, server: str, symbol: str) -> list[tuple[int, int]]:
        """Its stretches, which are no longer here."""
        return sorted(self._stretches.pop((server, symbol), []))

    def symbols(self) -> Iterator[tuple[str, str]]:
        """As they are now."""
        yield from list(self._stretches)
