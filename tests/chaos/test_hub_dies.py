"""The data plane does not need the hub to go on."""

import contextlib
from pathlib import Path

import pytest

from tests.support import eventually
from tests.support.plain_client import run_client
from tests.support.platform import run_platform

pytestmark = [pytest.mark.chaos, pytest.mark.usefixtures("long_form"), pytest.mark.timeout(120)]

METHODS = (
    "/suho.database.v1.TickService/GetSinkStatus",
    "/suho.market.v1.BridgeService/GetBridgeStatus",
    "/suho.trading.v1.TradingService/GetTradingStats",
)


async def test_no_call_fails_and_no_tick_is_lost_while_the_hub_restarts(tmp_path: Path) -> None:
    """Stock gRPC clients call every service through `xds:///mesh` while the hub is killed and comes back."""
    async with run_platform("--for", "15", state=tmp_path / "state") as platform:
        await platform.ready()
        async with contextlib.AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(run_client(platform.hubs[0])) for _ in METHODS]
            for client, method in zip(clients, METHODS, strict=True):
                assert (await client.call(method))["ok"]
                await client.ask("load", method, 2)
            platform.kill("hub")
            await eventually(lambda: platform.restarts_of("hub") == 1 and platform.pid_of("hub"), 20)
            # A call made by a client that knows nothing yet needs the new hub, and the services registered with it.
            async with run_client(platform.hubs[0]) as newcomer:

                async def answered() -> bool:
                    return bool((await newcomer.call(METHODS[0]))["ok"])

                await eventually(answered, 20)
            outcomes = [await client.ask("stop") for client in clients]
        summary = await platform.summary()
        assert platform.process.returncode == 0, platform.messages[-4000:]
    for outcome in outcomes:
        assert outcome["calls"] > 20
        assert outcome["errors"] == []
    assert summary["restarts"] == 1
