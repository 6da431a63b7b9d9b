"""The quality monitor: marks what is odd about ticks, and alerts; it drops nothing."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt

from mesh.market import marks
from mesh.market.zone import Zone
from services.database.domain.alarm import Alarm
from services.database.domain.annotation import Annotations
from services.database.domain.liveness import Liveness
from services.database.domain.log import Marker, Ticks
from services.database.domain.lru import latest
from services.database.domain.name_rules import NameRules
from services.database.domain.session import Session
from services.database.domain.spikes import Spikes

# Symbols kept in mind; beyond, the one that is longest ago is forgotten.
_MOST_SYMBOLS = 50_000

_KINDS = {marks.CROSSED: "CROSSED_QUOTES", marks.SPIKE: "SPIKE", marks.OUT_OF_SESSION: "OUT_OF_SESSION"}
_WORDS = {
    marks.CROSSED: "bid above ask",
    marks.SPIKE: "prices far from their neighbours",
    marks.OUT_OF_SESSION: "ticks outside the session",
}

Values = npt.NDArray[np.float64]
Times = npt.NDArray[np.int64]
Marks = npt.NDArray[np.uint32]
# Where a symbol's ticks stand among all.
_Places = dict[tuple[str, str], list[tuple[int, int]]]


class Monitor:
    """Annotates ticks in the order in which they are stored.

    Args:
        liveness: Follows the chain and the clocks of live ticks; None where ticks are late ones.
    """

    def __init__(
        self,
        zone_of: Callable[[str], Zone],
        sessions: NameRules[Session | None],
        spike_threshold: float,
        alarm: Alarm,
        liveness: Liveness | None,
    ) -> None:
        self._zone_of = zone_of
        self._sessions = sessions
        self._threshold = spike_threshold
        self._alarm = alarm
        self._liveness = liveness
        self._spikes: dict[tuple[str, str], Spikes] = {}

    @np.errstate(over="ignore", invalid="ignore")  # absurd prices are marked, not complained of
    def annotate(self, messages: Sequence[Ticks]) -> Annotations:
        """UTC and marks of all their ticks, in order."""
        batches = [message.batch for message in messages]
        time_msc, bid, ask, last = (
            np.concatenate([getattr(batch, name) for batch in batches]) for name in ("time_msc", "bid", "ask", "last")
        )
        places = _places(messages)
        found = quote_marks(bid, ask)
        utc_msc = self._to_utc(time_msc, places, found)
        for key, stretches in places.items():
            mine = _select(stretches)
            price = _prices(bid[mine], ask[mine], last[mine])
            self._mark_spikes(key, mine, price, time_msc[mine], found)
            self._mark_session(key[1], mine, utc_msc[mine], found)
            self._alert(key, time_msc[mine], found[mine])
        if self._liveness:
            for batch in batches:
                self._liveness.follow(batch)
        return Annotations(utc_msc, found)

    def refused(self, markers: Sequence[Marker]) -> None:
        """Ticks that the log holds no values of."""
        for marker in markers:
            self._alarm.tell(
                "QUARANTINED",
                marker.server,
                marker.symbol,
                f"{marker.count} ticks were refused: {marker.reason}",
                from_msc=marker.prev.time_msc,
                to_msc=marker.last.time_msc + 1,
                ticks=marker.count,
            )
            if self._liveness:
                self._liveness.pass_over(marker.server, marker.symbol, marker.last)

    def _to_utc(self, time_msc: Times, places: _Places, found: Marks) -> Times:
        servers = {server for server, _ in places}
        if len(servers) == 1:
            utc_msc, odd = self._zone_of(servers.pop()).to_utc(time_msc)
            if odd is not None:
                found |= odd
            return utc_msc
        utc_msc = np.empty_like(time_msc)
        for (server, _), stretches in places.items():
            mine = _select(stretches)
            utc_msc[mine], odd = self._zone_of(server).to_utc(time_msc[mine])
            if odd is not None:
                found[mine] |= odd
        return utc_msc

    def _mark_spikes(self, key: tuple[str, str], mine: "Selection", price: Values, times: Times, found: Marks) -> None:
        spikes = latest(self._spikes, key, partial(Spikes, self._threshold), _MOST_SYMBOLS)
        priced: npt.NDArray[np.int64] | None = None
        if float(price.min()) <= 0:
            priced = np.flatnonzero(price > 0)
            price, times = price[priced], times[priced]
        places = spikes.places(price, times)
        if len(places):
            marked = found[mine]  # a view or a copy
            marked[places if priced is None else priced[places]] |= marks.SPIKE
            found[mine] = marked

    def _mark_session(self, symbol: str, mine: "Selection", utc_msc: Times, found: Marks) -> None:
        session = self._sessions.of(symbol)
        if session:
            found[mine] |= np.where(session.holds(utc_msc), 0, marks.OUT_OF_SESSION).astype(np.uint32)

    def _alert(self, key: tuple[str, str], times: Times, found: Marks) -> None:
        if not found.any():
            return
        for mark, kind in _KINDS.items():
            places = np.flatnonzero(found & mark)
            if len(places):
                edges = int(times[places[0]]), int(times[places[-1]]) + 1
                self._alarm.tell(kind, *key, f"{len(places)} ticks: {_WORDS[mark]}", *edges, len(places))


Selection = slice | npt.NDArray[np.int64]


def quote_marks(bid: Values, ask: Values) -> Marks:
    """What a quote says by itself."""
    found = np.zeros(len(bid), np.uint32)
    spread = ask - bid
    if float(spread.min()) > 0 and float(bid.min()) > 0:
        return found
    quoted = (bid != 0) & (ask != 0)
    found[quoted & (spread < 0)] |= marks.CROSSED
    found[quoted & (spread == 0)] |= marks.ZERO_SPREAD
    found[~quoted] |= marks.ZERO_PRICE
    return found


def _places(messages: Sequence[Ticks]) -> _Places:
    """Where each symbol's ticks stand: [start, stop), neighbours joined."""
    places: _Places = {}
    stop = 0
    for message in messages:
        start, stop = stop, stop + len(message.batch)
        stretches = places.setdefault((message.batch.server, message.batch.symbol), [])
        if stretches and stretches[-1][1] == start:
            stretches[-1] = (stretches[-1][0], stop)
        else:
            stretches.append((start, stop))
    return places


def _select(stretches: Sequence[tuple[int, int]]) -> Selection:
    """What picks these ticks out of all: a slice, where they stand together."""
    if len(stretches) == 1:
        return slice(*stretches[0])
    return np.concatenate([np.arange(start, stop) for start, stop in stretches])


def _prices(bid: Values, ask: Values, last: Values) -> Values:
    """The middle of the quote, or the last trade where one side is missing; 0: neither."""
    middle = (bid + ask) / 2
    if float(bid.min()) > 0 and float(ask.min()) > 0:
        return middle
    return np.where((bid > 0) & (ask > 0), middle, np.maximum(last, 0))
