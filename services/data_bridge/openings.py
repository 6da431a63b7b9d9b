"""Which lanes have a symbol open here, and which of them streams it."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from services.data_bridge.domain.log import LogUnavailableError
from services.data_bridge.domain.progress import SymbolKey
from services.data_bridge.domain.sources import Contest, LeaseMovedError, Leases, Write
from services.data_bridge.lane import Lane


class _Opening:
    """A symbol that lanes have open here, or of which this bridge has the lease."""

    def __init__(self, contest: Contest) -> None:
        self.contest = contest
        self.lanes: list[Lane] = []
        self.source: Lane | None = None
        self.told: dict[Lane, str] = {}
        self.writing = False

    def lane_of(self, agent: str) -> Lane | None:
        """Where `agent` opened it last."""
        return next((lane for lane in reversed(self.lanes) if lane.agent == agent), None)


class Openings:
    """Takes leases for the agents that open symbols here, and gives them back.

    Args:
        granted: Called with the lane whose turn it is.
        lost: Called when no agent streams the symbol through this bridge any more.
        grace_s: How long a lease waits for its agent, whose lane broke.
        spawn: Runs a write in the background.
    """

    def __init__(
        self,
        bridge: str,
        leases: Leases,
        granted: Callable[[SymbolKey, Lane], None],
        lost: Callable[[SymbolKey], None],
        grace_s: float,
        spawn: Callable[[Coroutine[Any, Any, None], str], object],
    ) -> None:
        self._bridge = bridge
        self._leases = leases
        self._granted = granted
        self._lost = lost
        self._grace_s = grace_s
        self._spawn = spawn
        self._openings: dict[SymbolKey, _Opening] = {}
        self._unsettled: set[SymbolKey] = set()

    def __contains__(self, key: SymbolKey) -> bool:
        return key in self._openings

    def streaming(self, key: SymbolKey) -> str:
        """The agent that streams the symbol, here or elsewhere; empty: none."""
        lease = self._leases.lease(key)
        return lease.agent if lease.bridge in self._leases.alive else ""

    def waiting(self, key: SymbolKey) -> Sequence[str]:
        """The agents that stand by here."""
        return list(self._openings[key].contest.waiting) if key in self._openings else []

    def source(self, key: SymbolKey) -> Lane | None:
        """The lane on which the symbol is streamed to this bridge."""
        return self._openings[key].source if key in self._openings else None

    def open(self, key: SymbolKey, lane: Lane) -> None:
        opening = self._openings.get(key)
        if opening is None:
            opening = self._openings[key] = _Opening(Contest(self._bridge, self._leases.lease(key)))
        self._forget(opening, lane)
        opening.lanes.append(lane)
        opening.contest.opened(lane.agent)
        self._settle(key, opening)

    def close(self, key: SymbolKey, lane: Lane) -> None:
        opening = self._openings.get(key)
        if opening is None or lane not in opening.lanes:
            return
        self._forget(opening, lane)
        if opening.contest.streaming == lane.agent:
            asyncio.get_running_loop().call_later(self._grace_s, self._leave, key, lane.agent)
        else:
            self._leave(key, lane.agent)
        self._settle(key, opening)

    def heard(self, key: SymbolKey | None) -> None:
        """The lease of `key` is another now; None: time passed, or bridges came and went."""
        for one in list(self._unsettled) if key is None else [key]:
            if (opening := self._openings.get(one)) is not None:
                self._settle(one, opening)

    def _forget(self, opening: _Opening, lane: Lane) -> None:
        opening.told.pop(lane, None)
        if lane in opening.lanes:
            opening.lanes.remove(lane)
        if opening.source is lane:
            opening.source = None

    def _leave(self, key: SymbolKey, agent: str) -> None:
        opening = self._openings.get(key)
        if opening is not None and opening.lane_of(agent) is None:
            opening.contest.closed(agent)
            self._settle(key, opening)

    def _settle(self, key: SymbolKey, opening: _Opening) -> None:
        """Make the lease, and what lanes were told, what they should be."""
        contest, lease = opening.contest, self._leases.lease(key)
        if lease != contest.lease:
            streamed = contest.streaming
            contest.heard(lease)
            if streamed and contest.streaming != streamed:
                opening.source = None
                self._lost(key)
        self._grant(key, opening)
        write = contest.wanted(self._leases.alive)
        self._send_away(key, opening, write.agent if write else "")
        if write and self._leases.valid and not opening.writing:
            opening.writing = True
            self._spawn(self._write(key, opening, write), f"lease {key.symbol}")
        if opening.source is not None:
            self._unsettled.discard(key)
        elif opening.lanes or contest.streaming or opening.writing:
            self._unsettled.add(key)
        else:
            self._unsettled.discard(key)
            del self._openings[key]

    def _grant(self, key: SymbolKey, opening: _Opening) -> None:
        lane = opening.lane_of(opening.contest.streaming)
        if lane is not None and lane is not opening.source:
            opening.source = lane
            opening.told.pop(lane, None)
            self._granted(key, lane)

    def _send_away(self, key: SymbolKey, opening: _Opening, taking: str) -> None:
        """Tell who has to wait, and for whom; `taking` is about to be granted the lease."""
        holder = self.streaming(key)
        for lane in opening.lanes:
            here = lane.agent == opening.contest.streaming
            if holder and not here and lane.agent != taking and opening.told.get(lane) != holder:
                opening.told[lane] = holder
                lane.stand_by(key, holder)

    async def _write(self, key: SymbolKey, opening: _Opening, write: Write) -> None:
        try:
            await self._leases.write(key, write)
        except LeaseMovedError:
            if self._leases.lease(key) == opening.contest.lease:
                return  # what it is now is about to be heard
        except LogUnavailableError:
            return  # tried again when time has passed
        finally:
            opening.writing = False
        self._settle(key, opening)
