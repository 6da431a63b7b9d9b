"""Ticks from a terminal to a bridge, with everything between them breaking."""

from pathlib import Path

import numpy as np
import psutil
import pytest
from suho.agent.v1 import agent_pb2
from suho.market.v1 import bridge_pb2 as market
from suho.market.v1 import tick_pb2

from mesh.market import Batch, TickId
from mesh.market.digest import digests
from pc_agent.domain.lanes import lane_of
from pc_agent.twin.control import TwinUnreachableError, deal_count, slow_history
from tests.integration.pc_agent.conftest import Rig
from tests.integration.pc_agent.test_truth import ask
from tests.support import eventually
from tests.support.proxy import cuttable_proxy
from tests.support.replay_file import ReplayFile, generate
from tests.support.waiting import free_port

pytestmark = pytest.mark.integration


def assert_exact(rig: Rig, file: ReplayFile) -> None:
    """The bridge holds the file: every tick once, in order."""
    stored = rig.bridge.joined(file.symbol)
    assert stored is not None
    assert len(stored) == file.ticks
    points = 10**file.digits
    assert int(np.rint(stored.bid * points).sum()) == file.bid_points_sum
    assert int(np.rint(stored.ask * points).sum()) == file.ask_points_sum
    assert np.all(np.diff(stored.time_msc) >= 0)


def two_files(folder: Path, ticks: int = 60_000) -> list[ReplayFile]:
    return [generate(folder, "EURUSD", ticks, 1), generate(folder, "GBPUSD", ticks // 2, 2)]


async def all_there(rig: Rig, files: list[ReplayFile]) -> None:
    await eventually(lambda: all(rig.bridge.count(file.symbol) >= file.ticks for file in files), timeout_s=60)
    for file in files:
        assert_exact(rig, file)
    assert rig.bridge.violations == []


async def test_every_tick_arrives_once_on_its_symbols_lane(rig: Rig, tmp_path: Path) -> None:
    """A whole replay is stored exactly, in messages of allowed size, over five connections counted from outside."""
    files = two_files(tmp_path)
    await rig.start_terminal([file.feed for file in files], "max")
    await rig.start_agent()
    await all_there(rig, files)
    assert rig.bridge.largest <= 2_000
    server = rig.engine.hello.account.server if rig.engine.hello else ""
    for file in files:
        assert rig.bridge.lanes[lane_of(server, file.symbol)].count(file.symbol) == 1
    assert all(len(list(batch.by_month())) == 1 for batch in rig.bridge.batches["EURUSD"])
    assert rig.agent is not None
    await rig.joined()
    connections = psutil.Process(rig.agent.pid).net_connections("tcp")
    remote = [c.raddr.port for c in connections if c.status == psutil.CONN_ESTABLISHED]
    assert sorted(remote) == sorted([*[rig.ports[0]] * 4, rig.ports[1]])

    async def settled() -> agent_pb2.AgentStatus | None:
        status: agent_pb2.AgentStatus = (await ask(tmp_path, "GetStatus", agent_pb2.GetStatusRequest())).status
        owed = sum(one.unacknowledged for one in status.symbols)
        return status if not owed and all(lane.stands for lane in status.lanes) else None

    told = await eventually(settled)
    assert [(lane.number, lane.stands, lane.reconnects) for lane in told.lanes] == [(n, True, 0) for n in range(5)]
    homes = [lane_of(server, file.symbol) for file in files]
    assert [lane.symbols for lane in told.lanes] == [homes.count(n) for n in range(5)]
    assert {one.symbol: (one.lane, one.source, one.unacknowledged) for one in told.symbols} == {
        file.symbol: (lane_of(server, file.symbol), "terminal", 0) for file in files
    }
    (terminal,) = told.terminals
    assert (terminal.connected, terminal.role, list(terminal.findings)) == (True, agent_pb2.AGENT_ROLE_EXECUTING, [])
    assert (terminal.worker_pid, terminal.account.server) == (rig.workers()[0].pid, server)


async def test_nothing_is_lost_when_the_worker_is_killed(rig: Rig, tmp_path: Path) -> None:
    """SIGKILL to the worker, in the middle, costs no tick and doubles none."""
    files = two_files(tmp_path)
    await rig.start_terminal([file.feed for file in files], "max")
    await rig.start_agent()
    for share in (0.05, 0.4):
        await eventually(lambda share=share: rig.bridge.count("EURUSD") > files[0].ticks * share, 30, 0.002)
        for worker in rig.workers():
            worker.kill()
    await all_there(rig, files)


async def test_nothing_is_lost_when_lanes_break_or_move_and_the_log_is_set_back(rig: Rig, tmp_path: Path) -> None:
    """One cut connection, all cut at once, a log that lost its end and a drain are all made good."""
    files = two_files(tmp_path)
    port = free_port()
    async with cuttable_proxy(port, rig.ports[0]) as proxy:
        rig.ports = port, rig.ports[1]
        await rig.start_terminal([file.feed for file in files], "max")
        await rig.start_agent()
        await eventually(lambda: rig.bridge.count("EURUSD") > 2_000, 30, 0.002)
        proxy.cut_one()
        await eventually(lambda: rig.bridge.count("EURUSD") > 8_000, interval_s=0.002)
        while proxy.connections:
            proxy.cut_one()
        await eventually(lambda: rig.bridge.count("EURUSD") > 16_000, interval_s=0.002)
        rig.bridge.forget("EURUSD")
        await eventually(lambda: rig.bridge.out_of_sync, interval_s=0.002)
        rig.bridge.draining = rig.bridge.lane_of("EURUSD")
        await all_there(rig, files)
        await eventually(lambda: rig.bridge.drained)


async def test_a_history_that_differs_from_what_was_stored_is_told(rig: Rig, tmp_path: Path) -> None:
    """When the bridge's newest tick is another than the terminal's at its place, the agent says so loudly."""
    file = generate(tmp_path, "EURUSD", 5_000, 3)
    port = free_port()
    async with cuttable_proxy(port, rig.ports[0]) as proxy:
        rig.ports = port, rig.ports[1]
        await rig.start_terminal([file.feed], "max")
        await rig.start_agent()
        await all_there(rig, [file])
        rig.bridge.forget("EURUSD")
        rig.bridge.welcome_values["EURUSD"] = (9.0, 9.1)
        while proxy.connections:
            proxy.cut_one()
        await eventually(lambda: "HISTORY_CHANGED" in rig.log.read_text() and rig.bridge.changed)
        await all_there(rig, [file])
    told = rig.bridge.changed[0]
    stored = rig.bridge.joined("EURUSD")
    assert stored
    at = stored.index_after(TickId(told.at.time_msc, told.at.ordinal)) - 1
    assert (told.bid, told.ask) == (stored.bid[at], stored.ask[at])


async def test_a_lost_lanes_symbols_go_to_the_others_and_come_home(rig: Rig, tmp_path: Path) -> None:
    """With ticks under way both times: settled first, never on two lanes, none lost and none twice."""
    file = generate(tmp_path, "EURUSD", 80_000, 4)
    bridge = rig.bridge
    bridge.hold_at["EURUSD"] = 4_000
    await rig.start_terminal([file.feed], "max")
    await rig.start_agent(lane_lost_s=0.2, lane_back_s=0.3)
    await eventually(lambda: bridge.count("EURUSD") >= 8_000, timeout_s=25, interval_s=0.002)
    home = bridge.lane_of("EURUSD")
    bridge.hold_at["EURUSD"] = 30_000
    bridge.break_lane(home)
    await eventually(lambda: bridge.count("EURUSD") >= 34_000, timeout_s=25, interval_s=0.002)
    away = bridge.lane_of("EURUSD")
    assert away not in (0, home)
    assert bridge.closed == []
    bridge.refused.clear()
    await eventually(lambda: "come home" in rig.log.read_text())
    bridge.release()
    await all_there(rig, [file])
    await eventually(lambda: bridge.lane_of("EURUSD") == home)
    assert bridge.closed == [(away, "EURUSD")]
    await eventually(lambda: "EURUSD" in bridge.counts and bridge.counts["EURUSD"][-1].count > 0)


async def test_a_symbol_stands_by_and_comes_and_goes_on_a_running_stream(rig: Rig, tmp_path: Path) -> None:
    """What another agent streams is not sent until its welcome; what the terminal hides is closed, shows opened."""
    files = two_files(tmp_path, 9_000)
    bridge = rig.bridge
    bridge.others.add("EURUSD")
    await rig.start_terminal([file.feed for file in files], "max")
    await rig.start_agent(symbols_look_s=0.1)
    await eventually(lambda: bridge.count("GBPUSD") == files[1].ticks, timeout_s=25)
    assert bridge.count("EURUSD") == 0
    await eventually(lambda: "standing by" in rig.log.read_text())
    assert rig.log.read_text().count("standing by") == 1
    server = bridge.batches["GBPUSD"][0].server
    rig.select("GBPUSD", False)
    await eventually(lambda: not bridge.lane_of("GBPUSD"))
    bridge.let(tick_pb2.SymbolRef(server=server, symbol="EURUSD"))
    rig.select("GBPUSD", True)
    await eventually(lambda: bridge.lane_of("GBPUSD"))
    await all_there(rig, files)
    assert [symbol for _, symbol in bridge.closed] == ["GBPUSD"]
    await eventually(lambda: files[1].ticks in [count.count for count in bridge.counts.get("GBPUSD", ())])
    assert max(count.count for count in bridge.counts["GBPUSD"]) == files[1].ticks


async def test_the_history_is_told_as_it_was_streamed(rig: Rig, tmp_path: Path) -> None:
    """A range sent again has the same ticks with the same identities, its digest is theirs, the position their end."""
    file = generate(tmp_path, "EURUSD", 20_000, 5)
    bridge = rig.bridge
    await rig.start_terminal([file.feed], "max")
    await rig.start_agent()
    await all_there(rig, [file])
    stored = bridge.joined("EURUSD")
    assert stored
    ref = tick_pb2.SymbolRef(server=stored.server, symbol="EURUSD")
    begin = int(stored.time_msc[5_000]) // 1000 * 1000
    end = int(stored.time_msc[15_000]) // 1000 * 1000
    bridge.ask(ref, "RESEND", 1, begin, end)
    bridge.ask(ref, "DIGEST", 2, begin, end)
    bridge.ask(ref, "POSITION", 3)
    await eventually(lambda: bridge.answers.keys() == {1, 2, 3})
    wanted = stored.slice(*np.searchsorted(stored.time_msc, [begin, end]))
    resent = Batch.join(bridge.resent[1])
    assert len(wanted) > 9_000
    for name, column in wanted.columns().items():
        assert np.array_equal(getattr(resent, name), column)
    assert bridge.answers[1] == market.HistoryAnswer(request=1)
    whole = digests(stored.columns(), begin, end, end - begin)[0]
    found = bridge.answers[2].digests[0]
    assert (found.from_msc, found.to_msc, found.count, found.hash) == (begin, end, whole.count, whole.hash)
    position = bridge.answers[3].position
    last = tick_pb2.TickId(**stored.last_id._asdict())
    assert [position.terminal, position.read, position.sent, position.acknowledged] == [last] * 4
    assert position.terminal_connected


async def test_a_history_that_is_slow_to_come_is_not_taken_for_none(rig: Rig, tmp_path: Path) -> None:
    """The terminal says at first that there are no old ticks: the symbol begins with its first one all the same, and a
    digest that was asked for meanwhile is that of all of them."""
    file = generate(tmp_path, "EURUSD", 3_000, 1)
    bridge = rig.bridge
    await rig.start_terminal([file.feed], "max")
    await eventually(lambda: answers(rig.terminal), 30)
    slow_history(rig.terminal, at_hand_days=0.0, s_per_day=30_000)
    await rig.start_agent(history_start="first")
    await rig.joined()
    assert rig.engine.hello is not None
    ref = tick_pb2.SymbolRef(server=rig.engine.hello.account.server, symbol="EURUSD")
    await eventually(lambda: bridge.lane_of("EURUSD") > 0)
    begin = 18_292 * 86_400_000  # 2020-01-31
    bridge.ask(ref, "DIGEST", 1, begin, begin + 2 * 86_400_000)
    bridge.ask(ref, "POSITION", 2)
    await eventually(lambda: 2 in bridge.answers)
    assert not bridge.count("EURUSD")
    slow_history(rig.terminal, None)
    await eventually(lambda: bridge.count("EURUSD") == file.ticks and 1 in bridge.answers, 30)
    assert_exact(rig, file)
    assert [one.count for one in bridge.answers[1].digests] == [file.ticks]


def answers(terminal: Path) -> bool:
    """The twin is there."""
    try:
        deal_count(terminal)
    except TwinUnreachableError:
        return False
    return True
