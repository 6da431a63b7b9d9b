"""What an account's orders are held against, and what its engine is told."""

import asyncio
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from structlog.testing import capture_logs

from mesh.clock import unix_ms
from mesh.market.batch import COLUMNS
from mesh.orders import Kind
from pc_agent.config import AgentSettings
from pc_agent.domain.news import Calendar, Impact, News
from pc_agent.domain.orders import Account, Entry, OrderState, Result, Side, Signal
from pc_agent.domain.symbols import SymbolFacts
from pc_agent.market import account_market
from pc_agent.market.account_market import AccountMarket, Markets
from pc_agent.market.monitor import MarketMonitor
from pc_agent.market.news_file import NewsFile
from pc_agent.settings.live import live_settings
from pc_agent.terminal.messages import TicksRead
from tests.support import eventually

SIGNAL = Signal("s1", Account("broker", 1), 1, 1, False, False, "EURUSD", Side.BUY, "0.1", "", "", 0)
CLOSE = replace(SIGNAL, kind=Kind.CLOSE, position=7)
FACTS = SymbolFacts("EURUSD", 5, 0.01, 1, 0.01, 1, 0, point=0.00001, currency_base="EUR", currency_profit="USD")


class Desk:
    """One account whose person has said what is to be kept away from."""

    def __init__(self, tmp_path: Path, **said: Any) -> None:
        settings = live_settings(AgentSettings(state_dir=tmp_path, **said))
        self.monitor, self.news = MarketMonitor(), NewsFile(None)
        self.markets = Markets(self.monitor, self.news, Impact.HIGH, lambda: settings)
        self.facts = {"EURUSD": FACTS}
        self.market = AccountMarket("broker", lambda: self.facts, self.markets)
        self.newest_msc = unix_ms() // 1000 * 1000
        self.monitor.reading(("broker", "EURUSD"), True)

    def tick(self, *spreads: int) -> None:
        """A tick a second of these spreads, read now."""
        count = len(spreads)
        time_msc = self.newest_msc + 1000 * np.arange(1, count + 1)
        given: Any = {"time_msc": time_msc, "bid": np.full(count, 1.1), "ask": 1.1 + np.array(spreads) * 1e-5}
        columns = {
            name: np.asarray(given.get(name, np.zeros(count)), dtype).tobytes() for name, dtype in COLUMNS.items()
        }
        self.newest_msc += 1000 * count
        self.monitor.ticks_read("broker", TicksRead("EURUSD", 1, 0, columns, True))

    def reason(self, signal: Signal = SIGNAL) -> str:
        refused = self.market.refusal(signal)
        return refused.reason if refused else ""


def test_nothing_is_refused_that_the_person_did_not_forbid(tmp_path: Path) -> None:
    """By default the broker decides; of a market that nobody saw nothing is said."""
    desk = Desk(tmp_path)
    desk.news.calendar = Calendar([News(unix_ms(), "USD", Impact.HIGH, "Payrolls")])
    desk.tick(10)
    desk.market.ended(_entry("MARKET_CLOSED", 10018))
    assert desk.reason() == ""
    unseen = Desk(tmp_path, closed_block_entries=True, gap_block_entries=True, max_spread_ratio=2.0)
    assert unseen.reason() == ""
    assert unseen.market.spread_bound("EURUSD") == 0


def test_entries_keep_away_from_closed_markets_until_the_broker_takes_one(tmp_path: Path) -> None:
    """What makes positions smaller goes through."""
    desk = Desk(tmp_path, closed_block_entries=True)
    desk.newest_msc -= 9 * 86_400_000
    desk.tick(10)
    desk.tick(10)  # counted together with the one before: it has moved all the same
    assert desk.reason() == ""
    desk.market.ended(_entry("MARKET_CLOSED", 10018))
    assert desk.reason() == "MARKET_CLOSED"
    assert desk.reason(CLOSE) == ""
    desk.market.ended(_entry("", 10009, OrderState.FILLED))
    assert desk.reason() == ""
    desk.market.ended(_entry("MARKET_CLOSED", 0))  # our own word is no proof
    assert desk.reason() == ""


def test_entries_keep_away_from_a_market_that_stands_still(tmp_path: Path, monkeypatch: Any) -> None:
    """Where it should move: its week is learnt as open here."""
    desk = Desk(tmp_path, gap_block_entries=True)
    for _ in range(40):
        desk.tick(10)
    assert desk.reason() == ""
    later = time.monotonic_ns() + 120_000_000_000
    monkeypatch.setattr(time, "monotonic_ns", lambda: later)
    monkeypatch.setattr("pc_agent.domain.market_week.Week.is_open", lambda *_: True)
    assert desk.reason() == "MARKET_GAP"


def test_entries_keep_away_from_news_of_their_currencies(tmp_path: Path) -> None:
    """Of the impact that counts; its title is in the sentence."""
    desk = Desk(tmp_path, news_block_entries=True, news_before_minutes=2, news_after_minutes=0)
    for currency, impact, minutes, reason in (
        ("USD", Impact.HIGH, 1, "NEWS_WINDOW"),
        ("EUR", Impact.HIGH, 1, "NEWS_WINDOW"),
        ("USD", Impact.MEDIUM, 1, ""),
        ("JPY", Impact.HIGH, 1, ""),
        ("USD", Impact.HIGH, 3, ""),
        ("USD", Impact.HIGH, -1, ""),
    ):
        desk.news.calendar = Calendar([News(unix_ms() + minutes * 60_000, currency, impact, "Payrolls")])
        assert desk.reason() == reason
    desk.news.calendar = Calendar([News(unix_ms() + 60_000, "USD", Impact.HIGH, "Payrolls")])
    refused = desk.market.refusal(SIGNAL)
    assert refused is not None
    assert "Payrolls" in refused.message


def test_the_spread_is_bound_by_its_own_mean(tmp_path: Path) -> None:
    """And by the number that the person set, whichever is narrower."""
    desk = Desk(tmp_path, max_spread_ratio=2.0, max_spread_points=25)
    desk.tick(10, 10, 10, 10)
    assert desk.market.spread_bound("EURUSD") in (20, 21)  # points are quotients of doubles
    desk.tick(100, 100)
    assert desk.market.spread_bound("EURUSD") == 25


async def test_the_engine_is_told_what_changed(tmp_path: Path, monkeypatch: Any) -> None:
    """All of it on a new stream, then only what is not as it was."""
    monkeypatch.setattr(account_market, "_TELL_S", 0.005)
    now = time.monotonic_ns()
    monkeypatch.setattr(time, "monotonic_ns", lambda: now)  # that time goes by changes nothing here
    desk, told, looks = Desk(tmp_path), [], []
    market = AccountMarket("broker", lambda: looks.append(1) or desk.facts, desk.markets)  # type: ignore[func-returns-value]
    desk.tick(*[10] * 120)
    async with asyncio.TaskGroup() as tasks:
        for stream in (1, 2):
            work, begun = tasks.create_task(market.carry(told.append)), len(looks)
            await eventually(lambda begun=begun: len(looks) > begun + 10)  # type: ignore[misc]
            assert len(told) == stream
            work.cancel()
        work = tasks.create_task(market.carry(told.append))
        await eventually(lambda: len(told) == 3)
        desk.tick(30)
        await eventually(lambda: len(told) == 4)
        work.cancel()
    assert [round(one.market.conditions[0].spread_points) for one in told] == [10, 10, 10, 30]


def test_a_calendar_is_read_again_when_it_changes(tmp_path: Path) -> None:
    """What can not be read leaves the one before; bad lines are told."""
    path = tmp_path / "news.csv"
    news = NewsFile(path)
    with capture_logs() as logs:
        news.look()
        news.look()
        assert [line["log_level"] for line in logs] == ["error"]
        path.write_text("time,currency,impact,title\n2026-03-06T13:30:00Z,USD,high,Payrolls\nbad\n")
        news.look()
        assert [one.title for one in news.calendar.news] == ["Payrolls"]
        assert logs[-1]["line"] == 3
        path.unlink()
        news.look()
        assert news.calendar.news
        path.with_suffix(".csv").write_text("time,currency,impact,title\n")
        news.look()
        assert not news.calendar.news


def _entry(reason: str, retcode: int, state: OrderState = OrderState.REJECTED) -> Entry:
    return Entry(SIGNAL, Result(state, reason, retcode=retcode), 0)
