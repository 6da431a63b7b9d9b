"""Deep history: what the terminal does not have at hand it downloads, and says meanwhile that there is nothing."""

import threading
import time
from dataclasses import dataclass

from pc_agent.twin.market import Market

_DAY_S = 86_400
# How long a read waits for what it misses, as terminals do before they answer with what is there.
_WAIT_S = 0.2


@dataclass(frozen=True)
class Depth:
    """Ticks older than `at_hand_days` come down the line: each day of them takes `s_per_day`."""

    at_hand_days: float
    s_per_day: float


class Downloads:
    """Called outside the terminal's lock: it may take its time."""

    def __init__(self, market: Market) -> None:
        self._market = market
        self._depth: Depth | None = None
        self._lock = threading.Lock()
        # By symbol: since which second there is history at hand, and when more of it will have come.
        self._since: dict[str, int] = {}
        self._coming: dict[str, tuple[int, float]] = {}

    def slow(self, depth: Depth | None) -> None:
        """From now on; None: everything is at hand. What was downloaded before is forgotten."""
        with self._lock:
            self._depth = depth
            self._since.clear()
            self._coming.clear()

    def has(self, symbol: str, since_s: int) -> bool:
        """Whether the history since then is at hand, after a short wait; asking for it brings it."""
        until = time.monotonic() + _WAIT_S
        while not (there := self._look(symbol, since_s)) and time.monotonic() < until:
            time.sleep(_WAIT_S / 20)
        return there

    def _look(self, symbol: str, since_s: int) -> bool:
        with self._lock:
            if self._depth is None or symbol not in self._market.symbols:
                return True
            now = self._market.now_msc(symbol) // 1000
            ticks = self._market.ticks(symbol)
            since_s = max(since_s, int(ticks[0]["time"])) if len(ticks) else now
            have = self._since.setdefault(symbol, now - int(self._depth.at_hand_days * _DAY_S))
            if since_s >= have:
                return True
            wanted, ready = self._coming.get(symbol, (have, 0.0))
            if since_s < wanted:
                wanted, ready = since_s, time.monotonic() + (have - since_s) / _DAY_S * self._depth.s_per_day
                self._coming[symbol] = wanted, ready
            if time.monotonic() < ready:
                return False
            self._since[symbol] = wanted
            del self._coming[symbol]
            return since_s >= wanted
