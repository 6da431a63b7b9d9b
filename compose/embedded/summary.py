"""The account of a run: what was sent, what is stored, and whether they are the same."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from compose.embedded.facts import Feed, Orders, Percentiles, Stored


@dataclass(frozen=True)
class Outcome:
    """What a run came to."""

    startup_s: float
    ticks_per_s: float
    feeds: Mapping[str, Feed]
    stored: Mapping[str, Stored]
    orders: Orders
    tick_stored_ms: Percentiles
    restarts: int
    memory_peak_mb: Mapping[str, float] = field(default_factory=dict)
    # What was alerted on, by kind.
    incidents: Mapping[str, int] = field(default_factory=dict)

    def lost(self, symbol: str) -> int:
        """Ticks that the twin released and nobody can account for; less than 0: more are stored than were sent."""
        return self.feeds[symbol].sent - self.stored.get(symbol, Stored()).accounted

    @property
    def exact(self) -> bool:
        """Nothing lost, and no identity with two values."""
        contradictions = sum(stored.conflicting for stored in self.stored.values())
        return bool(self.feeds) and contradictions == 0 and all(self.lost(symbol) == 0 for symbol in self.feeds)

    def to_json(self) -> dict[str, Any]:
        """The object on the last line of `suho up --json`."""
        return {
            "startup_s": round(self.startup_s, 2),
            "ticks_per_s": round(self.ticks_per_s, 1),
            "symbols": {symbol: self._symbol(symbol) for symbol in sorted(self.feeds)},
            "orders": dict(self.orders.by_state),
            "tick_stored_ms": {"p50": self.tick_stored_ms.p50, "p99": self.tick_stored_ms.p99},
            "signal_executed_ms": {"p50": self.orders.executed_ms.p50, "p99": self.orders.executed_ms.p99},
            "restarts": self.restarts,
            "incidents": dict(self.incidents),
            "memory_peak_mb": {name: round(peak) for name, peak in sorted(self.memory_peak_mb.items())},
        }

    def _symbol(self, symbol: str) -> dict[str, int]:
        feed, stored = self.feeds[symbol], self.stored.get(symbol, Stored())
        return {
            "sent": feed.sent,
            "stored": stored.stored,
            "distinct": stored.distinct,
            "quarantined": stored.quarantined,
            "lost": self.lost(symbol),
            "duplicates": stored.raw - stored.distinct,
            "bid_points_sum": _in_digits(stored.bid_points_sum, stored.digits, feed.digits),
            "ask_points_sum": _in_digits(stored.ask_points_sum, stored.digits, feed.digits),
        }

    def to_text(self) -> str:
        """The same for people."""
        lines = [f"{'':10}{'sent':>12}{'stored':>12}{'quarantined':>12}{'lost':>8}{'duplicates':>12}"]
        for symbol in sorted(self.feeds):
            one = self._symbol(symbol)
            numbers = (one["sent"], one["stored"], one["quarantined"])
            cells = "".join(f"{number:>12,}" for number in numbers)
            lines.append(f"{symbol:10}{cells}{one['lost']:>8,}{one['duplicates']:>12,}")
        orders = ", ".join(f"{count} {state}" for state, count in self.orders.by_state.items()) or "none"
        lines.append(f"{self.ticks_per_s:,.0f} ticks/s · orders: {orders} · {self.restarts} restarts")
        if self.incidents:
            lines.append("incidents: " + ", ".join(f"{count} {kind}" for kind, count in self.incidents.items()))
        if self.memory_peak_mb:
            peaks = ", ".join(f"{name} {peak:,.0f}" for name, peak in sorted(self.memory_peak_mb.items()))
            lines.append(f"most memory, MB: {peaks}")
        lines.append(f"read to stored: {_milliseconds(self.tick_stored_ms)}")
        lines.append(f"committed to executed: {_milliseconds(self.orders.executed_ms)}")
        return "\n".join(lines)


def all_stored(feeds: Mapping[str, Feed], stored: Mapping[str, Stored]) -> bool:
    """Whether every released tick is accounted for."""
    return all(stored.get(symbol, Stored()).accounted >= feed.sent for symbol, feed in feeds.items())


def _in_digits(points: int, digits: int, wanted: int) -> int:
    """Points of `digits` decimals as points of `wanted` ones: the prices stored so far may all end in a zero."""
    return points * int(10 ** (wanted - digits)) if wanted >= digits else points // int(10 ** (digits - wanted))


def _milliseconds(measured: Percentiles) -> str:
    if measured.p50 is None or measured.p99 is None:
        return "not measured"
    return f"p50 {measured.p50:.1f} ms, p99 {measured.p99:.1f} ms"
