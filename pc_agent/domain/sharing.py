"""Which of an account's terminals has a symbol: its orders and its ticks."""

from collections.abc import Callable, Container, Iterable, Sequence

from pc_agent.domain.lanes import LaneWatch, stable_hash


class SymbolSharing:
    """Terminals by number, from 0. A symbol's home comes from its name; it is elsewhere while the home is lost.

    It moves only while nothing of it is under way or in doubt where it is: two terminals never have orders of a symbol
    at the same time.
    """

    def __init__(self, terminals: int, lost_after_s: float, back_after_s: float, now: float) -> None:
        self._watch = LaneWatch(range(terminals), lost_after_s, back_after_s, now)
        self._count = terminals
        self._fit = frozenset(range(terminals))
        self._owners: dict[str, int] = {}

    def owner(self, symbol: str) -> int | None:
        """Who has it; None: nobody carries it."""
        return self._owners.get(symbol)

    def look(
        self,
        fit_since: Sequence[float | None],
        carried: Sequence[Container[str]],
        symbols: Iterable[str],
        is_busy: Callable[[str], bool],
        now: float,
    ) -> dict[str, tuple[int | None, int]]:
        """Who has which of `symbols` from now on: what moved, from whom to whom.

        `fit_since`: monotonic seconds since when each terminal has been fit to trade without a break; None: it is not.
        """
        self._fit = self._watch.look(dict(enumerate(fit_since)), now)
        wanted = {symbol: self._wanted(symbol, carried) for symbol in symbols}
        moved: dict[str, tuple[int | None, int]] = {}
        for symbol, owner in wanted.items():
            before = self._owners.get(symbol)
            if before != owner and (before is None or not is_busy(symbol)):
                self._owners[symbol] = owner
                moved[symbol] = before, owner
        for symbol in self._owners.keys() - wanted.keys():
            if not is_busy(symbol):
                del self._owners[symbol]
        return moved

    def _wanted(self, symbol: str, carried: Sequence[Container[str]]) -> int:
        having = [number for number in range(self._count) if symbol in carried[number]]
        candidates = [number for number in having if number in self._fit] or having
        home = stable_hash(symbol) % self._count
        return home if home in candidates else max(candidates, key=lambda number: stable_hash(symbol, str(number)))
