"""The twin's broker in a process of its own: a hedging account with terms from a file, killed and back."""

import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from pc_agent.twin import client as mt5
from pc_agent.twin.control import change_terms, symbol_terms
from tests.integration.pc_agent.twin.test_twin_process import PASSWORD, Twin
from tests.support import eventually

pytestmark = pytest.mark.integration

SETTINGS = """
margin_mode = "hedging"
trade_mode = "real"
suffix = ".r"
durability = "power"
terms."*" = {trade_stops_level = 5, commission = 3.5}
terms.EURUSD = {liquidity = 0.2, filling_mode = 7, swap_long = -6.5}
"""
DEAL, PENDING = mt5.TRADE_ACTION_DEAL, mt5.TRADE_ACTION_PENDING


def send(action: int, **fields: Any) -> Any:
    result = mt5.order_send({"action": action, "symbol": "EURUSD.r", "magic": 7, "comment": "s1", **fields})
    assert result is not None, mt5.last_error()
    return result


def books() -> tuple[Any, ...]:
    """What must survive, without the prices of the moment."""
    positions, waiting = mt5.positions_get(), mt5.orders_get()
    history = mt5.history_orders_get(0, 2**31 - 1), mt5.history_deals_get(0, 2**31 - 1)
    assert positions is not None
    assert waiting is not None
    held = [(p.ticket, p.identifier, p.type, p.volume, p.price_open, p.sl, p.tp) for p in positions]
    return (
        held,
        [(o.ticket, o.type, o.state, o.volume_current, o.price_open, o.time_expiration) for o in waiting],
        history,
    )


@pytest.fixture
async def twin(tmp_path: Path) -> AsyncIterator[Twin]:
    config = tmp_path / "twin.toml"
    config.write_text(SETTINGS)
    one = Twin(tmp_path / "twin", "--config", str(config))
    await one.serving()
    yield one
    mt5.shutdown()
    one.end(signal.SIGKILL)


async def test_a_whole_day_of_trading_survives_a_kill(twin: Twin) -> None:
    """Positions each way, a partial fill, stops, a close by another, orders that wait, were changed and removed."""
    tick = await eventually(lambda: mt5.symbol_info_tick("EURUSD.r"))
    assert tick is not None
    info = mt5.symbol_info("EURUSD.r")
    assert info is not None
    assert (info.trade_stops_level, info.filling_mode, info.swap_long, info.margin_hedged) == (5, 7, -6.5, 100_000.0)
    account = mt5.account_info()
    assert account is not None
    assert (account.margin_mode, account.trade_mode) == (
        mt5.ACCOUNT_MARGIN_MODE_RETAIL_HEDGING,
        mt5.ACCOUNT_TRADE_MODE_REAL,
    )
    partial = send(DEAL, type=mt5.ORDER_TYPE_BUY, volume=0.5, type_filling=mt5.ORDER_FILLING_IOC)
    assert (partial.retcode, partial.volume) == (mt5.TRADE_RETCODE_DONE_PARTIAL, 0.2)
    assert send(DEAL, type=mt5.ORDER_TYPE_BUY, volume=0.5).retcode == mt5.TRADE_RETCODE_REJECT
    sold = send(DEAL, type=mt5.ORDER_TYPE_SELL, volume=0.1)
    stops = {"sl": round(tick.bid - 0.02, 5), "tp": round(tick.bid + 0.02, 5)}
    assert send(mt5.TRADE_ACTION_SLTP, position=partial.order, **stops).retcode == mt5.TRADE_RETCODE_DONE
    by = {"position": partial.order, "position_by": sold.order}
    assert send(mt5.TRADE_ACTION_CLOSE_BY, **by).retcode == mt5.TRADE_RETCODE_DONE
    far = {"price": round(tick.bid - 0.01, 5), "volume": 0.1, "type": mt5.ORDER_TYPE_BUY_LIMIT}
    placed = [send(PENDING, type_filling=mt5.ORDER_FILLING_RETURN, **far) for _ in range(2)]
    far_off = int(time.time()) + 3 * 86_400
    day = {"price": far["price"], "type_time": mt5.ORDER_TIME_SPECIFIED_DAY, "expiration": far_off}
    assert send(mt5.TRADE_ACTION_MODIFY, order=placed[0].order, **day).retcode == mt5.TRADE_RETCODE_DONE
    assert send(mt5.TRADE_ACTION_REMOVE, order=placed[1].order).retcode == mt5.TRADE_RETCODE_DONE
    before = books()
    assert (len(before[0]), len(before[1])) == (1, 1)
    assert [deal.commission for deal in before[2][1][1:3]] == [-0.7, -0.35]
    await twin.restart_after_kill()
    assert books() == before


async def test_terms_can_be_changed_under_a_running_terminal(twin: Twin) -> None:
    """A market that closes says so, and so does a symbol that is traded no more."""
    await eventually(lambda: mt5.symbol_info_tick("EURUSD.r"))
    assert symbol_terms(twin.folder, "EURUSD.r")["is_open"]
    in_three_days = time.strftime("%a", time.gmtime(time.time() + 3 * 86_400)).lower()
    change_terms(twin.folder, "EURUSD.r", sessions=f"{in_three_days} 00:00-00:01")
    change_terms(twin.folder, "GBPUSD.r", trade_mode=mt5.SYMBOL_TRADE_MODE_DISABLED)
    deal = {"type": mt5.ORDER_TYPE_BUY, "volume": 0.1}
    assert send(DEAL, **deal).retcode == mt5.TRADE_RETCODE_MARKET_CLOSED
    assert send(DEAL, **deal | {"symbol": "GBPUSD.r"}).retcode == mt5.TRADE_RETCODE_TRADE_DISABLED
    assert PASSWORD not in twin.end()
