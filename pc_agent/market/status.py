"""The part of the agent's status that tells what the markets are like, and which source a symbol's ticks come from."""

from collections.abc import Callable

from suho.agent.v1 import agent_pb2 as pb

from pc_agent.domain.symbols import SymbolFacts
from pc_agent.market.account_market import Markets, message_of
from pc_agent.ticks.sources import Place, TickSources


class MarketStatus:
    """Of every symbol that has a source. `facts`: what a terminal says of it; None: no terminal has it."""

    def __init__(self, sources: TickSources, markets: Markets, facts: Callable[[Place], SymbolFacts | None]) -> None:
        self._sources = sources
        self._markets = markets
        self._facts = facts

    async def fill(self, status: pb.AgentStatus) -> None:
        told = {(one.server, one.symbol): one for one in status.symbols}
        for place in self._sources.places():
            server, symbol = place
            one = told.get(place) or status.symbols.add(server=server, symbol=symbol)
            reader = self._sources.reader(place)
            one.source = reader.name if reader else ""
            one.newest_unix_ms = one.newest_unix_ms or self._markets.monitor.newest_msc(place)
            if now := self._markets.conditions(server, symbol, self._facts(place)):
                one.market.CopyFrom(message_of(symbol, now))
