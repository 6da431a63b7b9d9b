"""Which of the agent's tick lanes carries a symbol: its home, or while that is lost one of the others."""

from collections.abc import Iterable, Mapping
from hashlib import blake2b

TICK_LANES = 4


def lane_of(server: str, symbol: str) -> int:
    """The home, 1 to 4; the same in every process and at every start."""
    return 1 + stable_hash(server, symbol) % TICK_LANES


def carrier_of(server: str, symbol: str, fit: Iterable[int]) -> int:
    """The lane for a symbol when only the lanes `fit` (not empty) carry any.

    Away from home it is the fit lane with the highest hash, so that a loss moves only what the lost lane carried.
    """
    lanes = frozenset(fit)
    home = lane_of(server, symbol)
    return home if home in lanes else max(lanes, key=lambda lane: stable_hash(server, symbol, str(lane)))


class LaneWatch:
    """Which lanes are fit to carry symbols, from how long each one's stream has stood.

    A lane is lost when it does not stand and has not stood steadily for `lost_after_s`: one that comes up and breaks
    again counts as away. It is fit again when it has stood for `back_after_s`. While none stands there is nowhere
    to go, and nothing is lost.
    """

    def __init__(self, lanes: Iterable[int], lost_after_s: float, back_after_s: float, now: float) -> None:
        self._lost_after_s = lost_after_s
        self._back_after_s = back_after_s
        self._steady = dict.fromkeys(lanes, now)
        self._lost: set[int] = set()

    def look(self, stood_since: Mapping[int, float | None], now: float) -> frozenset[int]:
        """The fit lanes, never none; monotonic seconds, None: the lane does not stand."""
        if all(since is None for since in stood_since.values()):
            self._lost.clear()
            self._steady = dict.fromkeys(self._steady, now)
        for lane, since in stood_since.items():
            stood_s = 0.0 if since is None else now - since
            if since is not None and stood_s >= self._lost_after_s:
                self._steady[lane] = now
            if since is None and now - self._steady[lane] >= self._lost_after_s:
                self._lost.add(lane)
            elif since is not None and stood_s >= self._back_after_s:
                self._lost.discard(lane)
        if len(self._lost) == len(self._steady):  # better one that has only just come than none
            self._lost = {lane for lane, since in stood_since.items() if since is None}
        return frozenset(self._steady) - self._lost


def stable_hash(*names: str) -> int:
    """The same in every process and at every start."""
    return int.from_bytes(blake2b("\0".join(names).encode(), digest_size=8).digest(), "big")
