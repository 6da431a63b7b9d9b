"""The markets of one account: what its orders are held against, and what its engine is told."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace

from suho.trading.v1 import agent_link_pb2 as pb
from suho.trading.v1 import order_pb2

from mesh.clock import unix_ms
from mesh.orders import ENTRIES
from pc_agent.domain.conditions import Conditions, changed, spread_bound
from pc_agent.domain.live_settings import LiveSettings
from pc_agent.domain.news import Impact
from pc_agent.domain.orders import Entry, OrderState, Signal
from pc_agent.domain.refusal import Refusal
from pc_agent.domain.symbols import FULL, SymbolFacts
from pc_agent.market.monitor import MarketMonitor
from pc_agent.market.news_file import NewsFile

_TELL_S = 1.0
_MOST_TOLD = 500
_AT_ONCE = 8
_TAKEN = frozenset({OrderState.FILLED, OrderState.PARTIALLY_FILLED})
_MINUTE_MS = 60_000

Send = Callable[[pb.StreamSignalsRequest], None]


class Markets:
    """What all accounts of an agent share: the monitor, the calendar, the settings in force."""

    def __init__(
        self, monitor: MarketMonitor, news: NewsFile, least_impact: Impact, settings: Callable[[], LiveSettings]
    ) -> None:
        self.monitor = monitor
        self.settings = settings
        self._news = news
        self._least_impact = least_impact

    def conditions(self, server: str, symbol: str, facts: SymbolFacts | None) -> Conditions | None:
        """At this moment; None: no tick of it was seen."""
        point, trade_mode = (facts.point, facts.trade_mode) if facts else (0.0, FULL)
        found = self.monitor.conditions((server, symbol), point, trade_mode)
        return found and replace(found, news=self.news(facts))

    def news(self, facts: SymbolFacts | None) -> str:
        """Title of the news in whose window this moment lies for the symbol's currencies; empty: none."""
        settings = self.settings()
        currencies = {facts.currency_base, facts.currency_profit} if facts else set()
        before_ms, after_ms = settings.news_before_minutes * _MINUTE_MS, settings.news_after_minutes * _MINUTE_MS
        return self._news.calendar.title(unix_ms(), currencies, before_ms, after_ms, self._least_impact)


class AccountMarket:
    """One account's. `symbols`: what its terminals say of them now."""

    def __init__(self, server: str, symbols: Callable[[], Mapping[str, SymbolFacts]], markets: Markets) -> None:
        self._server = server
        self._symbols = symbols
        self._markets = markets

    # what an order is held against

    def refusal(self, signal: Signal) -> Refusal | None:
        """Why no entry is to be made in this market, as far as the person has said so."""
        settings = self._markets.settings()
        if signal.kind not in ENTRIES:
            return None
        if settings.news_block_entries and (title := self._markets.news(self._symbols().get(signal.symbol))):
            return Refusal("NEWS_WINDOW", f"{title}: no entries on {signal.symbol} around this news")
        if not (settings.closed_block_entries or settings.gap_block_entries):
            return None
        now = self._conditions(signal.symbol)
        if now is None:
            return None
        if settings.closed_block_entries and not now.session_open:
            return Refusal("MARKET_CLOSED", f"the session of {signal.symbol} is closed, as far as its quotes tell")
        if settings.gap_block_entries and now.gap:
            words = f"{signal.symbol} has stood still for {now.quote_age_ms / 1000:.0f} s: no entries until it moves"
            return Refusal("MARKET_GAP", words)
        return None

    def spread_bound(self, symbol: str) -> int:
        """The widest spread in points that an entry is made at; 0: any."""
        settings = self._markets.settings()
        if not settings.max_spread_ratio:
            return settings.max_spread_points
        now = self._conditions(symbol)
        mean = now.mean_spread_points if now else 0.0
        return spread_bound(settings.max_spread_points, settings.max_spread_ratio, mean)

    def day_end_s(self, symbol: str, server_s: int) -> int:
        """When the symbol's quotes of that day end, in seconds of the trade server's clock: see `Week`."""
        return self._markets.monitor.day_end_ms((self._server, symbol), server_s * 1000) // 1000

    def ended(self, entry: Entry) -> None:
        """What the broker made of an order."""
        is_closed = entry.result.reason == "MARKET_CLOSED" and entry.result.retcode > 0
        if is_closed or entry.state in _TAKEN:
            self._markets.monitor.answered((self._server, entry.signal.symbol), is_closed)

    # what the engine is told

    async def carry(self, send: Send) -> None:
        """What changed, at most once a second, for as long as the stream stands; all of it at first."""
        told: dict[str, Conditions] = {}
        while True:
            news: list[order_pb2.MarketConditions] = []
            for number, symbol in enumerate(list(self._symbols()), 1):
                now = self._conditions(symbol)
                if now and changed(told.get(symbol), now):
                    told[symbol] = now
                    news.append(message_of(symbol, now))
                if not number % _AT_ONCE:
                    await asyncio.sleep(0)  # an order may go between
            for start in range(0, len(news), _MOST_TOLD):
                report = pb.MarketReport(conditions=news[start : start + _MOST_TOLD])
                send(pb.StreamSignalsRequest(market=report))
            await asyncio.sleep(_TELL_S)

    def _conditions(self, symbol: str) -> Conditions | None:
        return self._markets.conditions(self._server, symbol, self._symbols().get(symbol))


def message_of(symbol: str, now: Conditions) -> order_pb2.MarketConditions:
    """In the contract's words."""
    return order_pb2.MarketConditions(
        symbol=symbol,
        at_unix_ms=unix_ms(),
        session_open=now.session_open,
        spread_points=round(now.spread_points, 6),
        mean_spread_points=round(now.mean_spread_points, 6),
        volatility=now.volatility,
        ticks_per_second=now.ticks_per_second,
        quote_age_ms=now.quote_age_ms,
        gap=now.gap,
        news=now.news,
    )
