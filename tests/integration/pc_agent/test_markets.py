"""What the agent tells of markets while ticks pass, and what it does with orders then."""

import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from suho.agent.v1 import agent_pb2 as pb
from suho.trading.v1 import order_pb2

from tests.integration.pc_agent.conftest import Rig
from tests.integration.pc_agent.test_truth import ask
from tests.support import eventually

pytestmark = pytest.mark.integration


async def test_a_market_is_told_as_it_is_and_entries_keep_away_from_news(rig: Rig, tmp_path: Path) -> None:
    """The twin's market moves, a file has ticks of years ago: both are open, each with its source. An entry in a news
    window is refused with its title; when the calendar changes it is filled. The broker knows when an order ends."""
    calendar, feed = tmp_path / "news.csv", tmp_path / "feed.csv"
    header = "time,currency,impact,title\n"
    calendar.write_text(f"{header}{datetime.now(UTC).isoformat()},EUR,high,Rate decision\n")
    feed.write_text("timestamp,bid,ask\n2019-05-06 10:00:00+00:00,2.0,2.1\n")
    await rig.start_terminal(["synthetic"], "1")
    sources = ({"name": "feed", "kind": "csv", "files.ABC": str(feed)},)
    await rig.start_agent(sources=sources, news_file=str(calendar), news_block_entries=True, history_start="now")
    await rig.joined()
    markets = rig.engine.markets
    await eventually(lambda: "EURUSD" in markets and markets["EURUSD"].session_open and markets["EURUSD"].news)
    told = markets["EURUSD"]
    assert told.spread_points > 0
    assert told.mean_spread_points > 0
    assert told.quote_age_ms < 5_000
    assert told.news == "Rate decision"
    await rig.engine.submit("s1", "EURUSD")
    await eventually(lambda: rig.engine.states("s1")[-1:] == ["REJECTED"])
    assert rig.engine.last("s1").reason == "NEWS_WINDOW"
    calendar.write_text(header)
    await eventually(lambda: not markets["EURUSD"].news)
    await rig.engine.submit("s2", "EURUSD")
    await eventually(lambda: rig.engine.states("s2")[-1:] == ["FILLED"])
    until_ms = (time.time_ns() // 10**9 + 3600) * 1000
    limit = {"kind": order_pb2.ORDER_KIND_LIMIT, "price": "0.5"}
    await rig.engine.submit("s3", "EURUSD", expires_unix_ms=until_ms, **limit)
    await eventually(lambda: rig.engine.states("s3")[-1:] == ["PLACED"])
    await eventually(lambda: _ends(rig) == [until_ms])

    for second in (1, 2):  # what was there before was not asked for
        with feed.open("a") as more:
            more.write(f"2019-05-06 10:00:0{second}+00:00,2.0,2.2\n")
        await eventually(lambda second=second: rig.bridge.count("ABC") == second)  # type: ignore[misc]
    status = (await ask(tmp_path, "GetStatus", pb.GetStatusRequest())).status
    shown = {(one.server, one.symbol): one for one in status.symbols}
    abc = shown["csv-feed", "ABC"]
    assert abc.source == "feed"
    assert abc.market.session_open
    assert not abc.market.gap
    ours = [one for one in status.symbols if one.symbol == "EURUSD"]
    assert [one.source for one in ours] == ["terminal"]
    assert ours[0].market.ticks_per_second > 0
    assert ours[0].lane


def _ends(rig: Rig) -> list[int]:
    """When the orders at the broker end, by its clock."""
    return [order.expires_unix_ms for order in rig.engine.snapshot.orders] if rig.engine.snapshot else []
