"""Several terminals and accounts of one agent."""

from pathlib import Path

import pytest
from suho.agent.v1 import agent_pb2 as pb

from pc_agent.file_lock import LockedError, file_lock
from pc_agent.terminal.locks import lock_file, note_account, require_free
from pc_agent.twin.control import show_symbol
from pc_agent.twin.feeds import plan_feeds, server_name
from tests.integration.pc_agent.conftest import Rig
from tests.integration.pc_agent.test_truth import ask
from tests.support import eventually
from tests.support.replay_file import generate

pytestmark = pytest.mark.integration

# They have different homes among two terminals.
SYMBOLS = ("EURUSD", "GBPUSD", "USDJPY")


async def test_several_terminals_and_accounts_of_one_agent(rig: Rig, tmp_path: Path) -> None:
    """Two terminals of an account share its symbols; when one dies nothing is lost and none is doubled; another
    account has its own lane 0, its ticks go up beside. Who is still at an account by a terminal that left the settings
    is waited for by that account alone.
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
    left = rig.folder / "agent" / "terminal-left.lock"
    left.parent.mkdir()
    note_account(left, servers[0], 1_000_001)
    with file_lock(left):
        await rig.start_agent(terminals=tables)
        await eventually(lambda: servers[1] in rig.engine.hellos, timeout_s=25)
        await rig.engine.submit("other", "XAUUSD", account=rig.engine.hellos[servers[1]].account)
        await eventually(lambda: "FILLED" in rig.engine.states("other"), timeout_s=15)
        assert servers[0] not in rig.engine.hellos
    await eventually(lambda: rig.engine.hellos.keys() == set(servers), timeout_s=25)
    assert len({hello.account.login for hello in rig.engine.hellos.values()}) == 1
    first = rig.engine.hellos[servers[0]].account
    for number, symbol in enumerate(SYMBOLS):
        await rig.engine.submit(f"o{number}", symbol, account=first, seq=number + 1)
    await eventually(lambda: all("FILLED" in rig.engine.states(f"o{n}") for n in range(3)), timeout_s=15)
    rig.workers()[0].kill()
    for number, symbol in enumerate(SYMBOLS):
        await rig.engine.submit(f"p{number}", symbol, account=first, seq=number + 4)
    await eventually(lambda: all("FILLED" in rig.engine.states(f"p{n}") for n in range(3)), timeout_s=20)
    await eventually(lambda: all(rig.bridge.count(file.symbol) == file.ticks for file in files), timeout_s=15)
    third = lock_file(left.parent, "pc_agent.twin.client", str(rig.folder / "other"))
    require_free([third], servers[0], 1_000_001)
    with pytest.raises(LockedError):
        require_free([third], servers[1], 1_000_001)
    assert rig.deals() == 6
    assert rig.bridge.violations == []
    assert {batch.server for batch in rig.bridge.batches["XAUUSD"]} == {servers[1]}


async def test_a_symbol_that_the_broker_has_not_got_keeps_no_other_away(rig: Rig, tmp_path: Path) -> None:
    """While there is none of those wanted the account is watched, orders are refused, and the status says what to do;
    what comes is streamed and traded, also when the terminal is joined anew.
    """
    files = [generate(tmp_path, symbol, 500, seed) for seed, symbol in enumerate(("EURUSD", "GBPUSD"))]
    await rig.start_terminal([file.feed for file in files], "max", hidden=("GBPUSD",))
    await rig.start_agent(symbols=("GBPUSD", "TYPO"), symbols_look_s=0.1)
    await rig.joined()
    await rig.engine.submit("s1", "GBPUSD")
    await eventually(lambda: rig.engine.states("s1")[-1:] == ["REJECTED"])
    assert rig.engine.last("s1").reason == "UNKNOWN_SYMBOL"

    async def status() -> pb.AgentStatus:
        told: pb.AgentStatus = (await ask(tmp_path, "GetStatus", pb.GetStatusRequest())).status
        return told

    told = await status()
    assert "none of the symbols wanted, no GBPUSD, TYPO: correct" in told.missing
    assert list(told.terminals[0].findings) == [told.missing]
    show_symbol(rig.terminal, "GBPUSD")
    await eventually(lambda: rig.bridge.count("GBPUSD") == 500)
    rig.workers()[0].kill()
    await rig.engine.submit("s2", "GBPUSD")
    await eventually(lambda: rig.engine.states("s2")[-1:] == ["FILLED"], 30)
    told = await status()
    assert not told.missing
    assert "has no symbol TYPO: correct" in told.terminals[0].findings[0]
    assert rig.log.read_text().count("UNKNOWN_SYMBOLS") == 3  # once each: none, one, anew
