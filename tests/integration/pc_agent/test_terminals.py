"""Several terminals and accounts of one agent."""

from pathlib import Path

import pytest

from pc_agent.twin.feeds import plan_feeds, server_name
from tests.integration.pc_agent.conftest import Rig
from tests.support import eventually
from tests.support.replay_file import generate

pytestmark = pytest.mark.integration

# They have different homes among two terminals.
SYMBOLS = ("EURUSD", "GBPUSD", "USDJPY")


async def test_several_terminals_and_accounts_of_one_agent(rig: Rig, tmp_path: Path) -> None:
    """Two terminals of an account share its symbols; when one dies nothing is lost and none is doubled; another
    account has its own lane 0, its ticks go up beside.
    """
    files = [generate(tmp_path, symbol, 2_000, seed) for seed, symbol in enumerate((*SYMBOLS, "XAUUSD"))]
    ours, other = [file.feed for file in files[:3]], [files[3].feed]
    servers = [server_name(plan_feeds(tuple(feeds)), 1) for feeds in (ours, other)]
    await rig.start_terminal(ours, "max")
    await rig.start_terminal(other, "max", "other")
    (rig.folder / "second").symlink_to(rig.terminal)  # one broker, one account, another terminal
    tables = (
        rig.table(name="one", server=servers[0]),
        rig.table("second", name="two", server=servers[0]),
        rig.table("other", name="three", server=servers[1]),
    )
    await rig.start_agent(terminals=tables)
    await eventually(lambda: rig.engine.hellos.keys() == set(servers), timeout_s=25)
    assert len({hello.account.login for hello in rig.engine.hellos.values()}) == 1
    first = rig.engine.hellos[servers[0]].account
    for number, symbol in enumerate(SYMBOLS):
        await rig.engine.submit(f"o{number}", symbol, account=first)
    await eventually(lambda: all("FILLED" in rig.engine.states(f"o{n}") for n in range(3)), timeout_s=15)
    rig.workers()[0].kill()
    for number, symbol in enumerate(SYMBOLS):
        await rig.engine.submit(f"p{number}", symbol, account=first)
    await eventually(lambda: all("FILLED" in rig.engine.states(f"p{n}") for n in range(3)), timeout_s=20)
    await eventually(lambda: all(rig.bridge.count(file.symbol) == file.ticks for file in files), timeout_s=15)
    assert rig.deals() == 6
    assert rig.bridge.violations == []
    assert {batch.server for batch in rig.bridge.batches["XAUUSD"]} == {servers[1]}
