"""The trade server's day ends while nobody looks."""

import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from suho.trading.v1 import order_pb2

from tests.integration.pc_agent.conftest import Rig
from tests.integration.pc_agent.test_at_the_pc import prefer
from tests.support import eventually

pytestmark = pytest.mark.integration

DAY_S = 86_400


async def test_the_day_ends_though_no_quote_moves_any_more(rig: Rig, tmp_path: Path) -> None:
    """The last quote came before the time to close: the clock runs on, what is ours is closed and removed, and no entry
    is made any more."""
    feed = tmp_path / "EURUSD.csv"
    # On a server whose midnight is near; 15 minutes before it all is closed.
    last_s = round(time.time() / DAY_S) * DAY_S - 900 - 3
    quotes = [f"{datetime.fromtimestamp(last_s - ago_s, UTC)},1.1,1.1002\n" for ago_s in (9, 5, 0)]
    feed.write_text("timestamp,bid,ask\n" + "".join(quotes))
    await rig.start_terminal([f"EURUSD={feed}"], "max")
    await rig.start_agent(max_quote_age_ms=0)
    await rig.joined()
    await rig.engine.submit("s1", "EURUSD")
    await rig.engine.submit("p1", "EURUSD", kind=order_pb2.ORDER_KIND_LIMIT, price="0.5")
    await eventually(lambda: (rig.engine.states("s1")[-1:], rig.engine.states("p1")[-1:]) == (["FILLED"], ["PLACED"]))
    await prefer(tmp_path, "auto_close_trades")
    await eventually(lambda: rig.engine.states("p1")[-1:] == ["CANCELED"])
    await eventually(lambda: rig.engine.snapshot is not None and not rig.engine.snapshot.positions)
    await rig.engine.submit("s2", "EURUSD")
    await eventually(lambda: rig.engine.states("s2") == ["REJECTED"])
    assert rig.engine.last("s2").reason == "DAY_ENDS"
