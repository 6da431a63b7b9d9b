"""An agent that dies around order_send: never two deals, one where the terminal had it, and a report that is true."""

import asyncio
from pathlib import Path

import pytest

from pc_agent.twin.control import deal_count
from tests.support import eventually
from tests.support.platform import RunningPlatform, run_platform
from tests.support.suho import Answer, suho

pytestmark = [pytest.mark.chaos, pytest.mark.usefixtures("long_form"), pytest.mark.timeout(180)]


@pytest.mark.parametrize(
    ("place", "state", "deals"),
    [
        ("order_send.before", "NOT_EXECUTED", 0),
        ("order_send.inside", "FILLED", 1),
        ("order_send.after", "FILLED", 1),
    ],
)
async def test_a_death_around_order_send_leaves_one_truth(tmp_path: Path, place: str, state: str, deals: int) -> None:
    """However the agent dies, the order ends as what the terminal's books say; sent again it is still one."""
    marker = tmp_path / "died"
    environment = {
        "SUHO_FAILPOINTS": f"{place}=kill@{marker}",
        # A minute in production: how long the books must stay empty before an order is called not executed.
        "SUHO_PC_AGENT_RECONCILE_AFTER_S": "2",
    }
    async with run_platform(state=tmp_path / "state", environment=environment) as platform:
        await platform.ready()
        await send(platform)
        assert marker.exists()

        async def settled() -> str:
            orders = (await suho("orders", "--json", state=platform.state)).json["orders"]
            (order,) = orders
            return str(order["state"]) if order["state"] in ("FILLED", "NOT_EXECUTED", "REJECTED", "EXPIRED") else ""

        assert await eventually(settled, 60, 0.5) == state
        await send(platform)
        assert await asyncio.to_thread(deal_count, platform.twin) == deals


async def send(platform: RunningPlatform) -> Answer:
    """As a person would: the command gives up after a while, the order does not."""
    return await suho(
        *("signal", "send", "--account", "1000001", "--symbol", "EURUSD", "--side", "sell", "--volume", "0.10"),
        *("--id", "one", "--wait", "10"),
        state=platform.state,
    )
