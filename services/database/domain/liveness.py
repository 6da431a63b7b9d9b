"""What only live ticks can tell: holes in their chain, symbols that fell silent, and which clock the broker runs."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from mesh.market import BEFORE_FIRST, Batch, TickId
from mesh.market.zone import Zone
from services.database.domain.alarm import Alarm
from services.database.domain.lru import latest
from services.database.domain.name_rules import NameRules
from services.database.domain.session import Session

# Servers, and symbols of each, kept in mind; beyond, the one that is longest ago is forgotten.
_MOST_SERVERS = 1_000
_MOST_SYMBOLS = 10_000
_LOOK_NS = 5_000_000_000

# How a clock shows itself: so many times in a row, so far apart, tick time and reading time advanced alike.
_AGREEING = 5
_APART_MS = 10_000
_ALIKE_MS = 2_000
_NEAR_MS = 60_000
_QUARTER_MS = 900_000
_MOST_QUARTERS = 15 * 4

_LIKELY = ("UTC", "America/New_York+7", "Europe/Athens", "Europe/Berlin", "Europe/London", "Europe/Moscow")


@dataclass(slots=True)
class _Clock:
    """Two readings of one symbol, and how often they agreed on an offset."""

    read_ms: int = 0
    tick_ms: int = 0
    quarters: int = 0
    agreed: int = 0


@dataclass(slots=True)
class _Symbol:
    last: TickId = BEFORE_FIRST
    read_ns: int = 0
    silent: bool = False
    clock: _Clock = field(default_factory=_Clock)


@dataclass(slots=True)
class _Server:
    symbols: dict[str, _Symbol] = field(default_factory=dict)
    newest_ns: int = 0
    looked_ns: int = 0


class Liveness:
    """Follows the live log, message by message.

    Args:
        stale_after_s: Silence of one symbol, while others of its server tick, that is told; 0: none is.
    """

    def __init__(
        self, alarm: Alarm, zone_of: Callable[[str], Zone], sessions: NameRules[Session | None], stale_after_s: float
    ) -> None:
        self._alarm = alarm
        self._zone_of = zone_of
        self._sessions = sessions
        self._stale_ns = int(stale_after_s * 1e9)
        self._servers: dict[str, _Server] = {}

    def follow(self, batch: Batch) -> None:
        """The next message of the log."""
        server = latest(self._servers, batch.server, _Server, _MOST_SERVERS)
        symbol = latest(server.symbols, batch.symbol, _Symbol, _MOST_SYMBOLS)
        self._check_chain(symbol, batch)
        self._check_clock(symbol.clock, batch)
        last = batch.last_id
        symbol.last = max(symbol.last, last)
        symbol.read_ns, symbol.silent = max(symbol.read_ns, batch.read_unix_ns), False
        server.newest_ns = max(server.newest_ns, batch.read_unix_ns)
        if self._stale_ns and server.newest_ns - server.looked_ns >= _LOOK_NS:
            server.looked_ns = server.newest_ns
            self._check_silence(batch.server, server)

    def pass_over(self, server: str, symbol: str, last: TickId) -> None:
        """A marker stands for ticks up to `last`: no hole."""
        there = self._servers.get(server)
        known = there.symbols.get(symbol) if there else None
        if known:
            known.last = max(known.last, last)

    def _check_chain(self, symbol: _Symbol, batch: Batch) -> None:
        if BEFORE_FIRST < symbol.last < batch.prev:
            self._alarm.tell(
                "HOLE",
                batch.server,
                batch.symbol,
                f"the log goes on behind {batch.prev.time_msc}/{batch.prev.ordinal}, but ended at"
                f" {symbol.last.time_msc}/{symbol.last.ordinal}: ticks between are missing; an audit heals them",
                from_msc=symbol.last.time_msc,
                to_msc=batch.prev.time_msc + 1,
            )

    def _check_silence(self, name: str, server: _Server) -> None:
        for of, symbol in server.symbols.items():
            silent_ns = server.newest_ns - symbol.read_ns
            if not symbol.silent and silent_ns > self._stale_ns and self._open(of, server.newest_ns):
                symbol.silent = True
                self._alarm.tell(
                    "STALE_SYMBOL",
                    name,
                    of,
                    f"no tick for {silent_ns / 1e9:.0f} s, while other symbols of {name} tick",
                    from_msc=symbol.last.time_msc,
                )

    def _open(self, symbol: str, unix_ns: int) -> bool:
        session = self._sessions.of(symbol)
        return session is None or bool(session.holds(np.array([unix_ns // 1_000_000]))[0])

    def _check_clock(self, clock: _Clock, batch: Batch) -> None:
        read_ms, tick_ms = batch.read_unix_ns // 1_000_000, int(batch.time_msc[-1])
        read_for, ticked_for = read_ms - clock.read_ms, tick_ms - clock.tick_ms
        if 0 <= read_for < _APART_MS:
            return
        quarters = round((tick_ms - read_ms) / _QUARTER_MS)
        near = abs(tick_ms - read_ms - quarters * _QUARTER_MS) < _NEAR_MS
        live = near and abs(quarters) <= _MOST_QUARTERS and abs(ticked_for - read_for) < max(_ALIKE_MS, read_for // 5)
        clock.agreed = clock.agreed + 1 if live and quarters == clock.quarters else 0
        clock.read_ms, clock.tick_ms, clock.quarters = read_ms, tick_ms, quarters
        if clock.agreed >= _AGREEING:
            self._compare(batch, read_ms, quarters * _QUARTER_MS)

    def _compare(self, batch: Batch, read_ms: int, seen_ms: int) -> None:
        zone = self._zone_of(batch.server)
        ruled_ms = zone.offset_ms(read_ms)
        if ruled_ms == seen_ms:
            return
        fitting = [rule for rule in _LIKELY if Zone(rule).offset_ms(read_ms) == seen_ms] or [_fixed(seen_ms)]
        self._alarm.tell(
            "ZONE_MISMATCH",
            batch.server,
            "",
            f"fresh quotes of {batch.symbol} show that the clock of {batch.server} is {_hours(seen_ms)} from UTC; the"
            f" rule {zone.rule} says {_hours(ruled_ms)}. Setting zones {batch.server}=… would fit with"
            f" {' or '.join(fitting)}",
            from_msc=int(batch.time_msc[-1]),
        )


def _fixed(offset_ms: int) -> str:
    minutes = abs(offset_ms) // 60_000
    return f"UTC{'+' if offset_ms > 0 else '-'}{minutes // 60}" + (f":{minutes % 60:02}" if minutes % 60 else "")


def _hours(offset_ms: int) -> str:
    return f"{offset_ms / 3_600_000:+g} h"
