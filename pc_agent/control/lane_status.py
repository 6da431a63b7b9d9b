"""The five connections, and the symbols on four of them, in the agent's status."""

from collections.abc import Sequence

from suho.agent.v1 import agent_pb2 as pb

from pc_agent.orders.signal_lane import Role, SignalLane
from pc_agent.ticks.tick_lanes import TickLanes


class LanesStatus:
    """Lane 0 is one connection with a stream for each account: it stands when all of them do."""

    def __init__(self, signals: Sequence[SignalLane], ticks: TickLanes) -> None:
        self._signals = signals
        self._ticks = ticks

    async def fill(self, status: pb.AgentStatus) -> None:
        signals = self._signals
        status.lanes.add(
            number=0,
            stands=all(lane.role is not Role.DISCONNECTED for lane in signals),
            peer=", ".join(sorted({lane.engine for lane in signals if lane.engine})),
            unacknowledged=sum(lane.unacknowledged for lane in signals),
            since_unix_ms=max(lane.since_unix_ms for lane in signals),
            reconnects=sum(lane.reconnects for lane in signals),
        )
        carried = [number for _, number in self._ticks.carried]
        for lane in self._ticks.lanes:
            status.lanes.add(
                number=lane.number,
                stands=lane.stood_since is not None,
                peer=lane.bridge,
                symbols=carried.count(lane.number),
                unacknowledged=lane.unacknowledged,
                since_unix_ms=lane.since_unix_ms,
                reconnects=lane.reconnects,
            )


class SymbolsStatus:
    """What is read, how far, and on which lane."""

    def __init__(self, ticks: TickLanes) -> None:
        self._ticks = ticks

    async def fill(self, status: pb.AgentStatus) -> None:
        for feed, lane in sorted(self._ticks.carried, key=lambda one: (one[0].server, one[0].symbol)):
            status.symbols.add(
                server=feed.server,
                symbol=feed.symbol,
                lane=lane,
                newest_unix_ms=feed.read_last.time_msc,
                unacknowledged=feed.unacknowledged,
            )
