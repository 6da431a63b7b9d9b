"""The twin as a process of its own: served, killed, restarted, seen through its client."""

import asyncio
import os
import signal
import stat
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from pc_agent.twin import client as mt5
from pc_agent.twin.control import (
    TwinRefusedError,
    TwinUnreachableError,
    correct_tick,
    deal_count,
    feed_status,
    insert_ticks,
    remove_ticks,
    show_symbol,
)
from pc_agent.twin.domain.ticks import Ticks
from pc_agent.twin.wire import Endpoint
from tests.support import eventually
from tests.support.replay_file import generate

pytestmark = pytest.mark.integration

ALL = -1
ROOT = Path(__file__).resolve().parents[4]
PASSWORD = "not-a-secret"
ORDER = {"action": 1, "symbol": "EURUSD", "volume": 0.1, "type": 0, "magic": 77, "comment": "s0123456789abcde"}


class Twin:
    """One folder and the process that owns it."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.folder = folder
        self._arguments = arguments
        self.process = self._spawn()

    def _spawn(self) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "pc_agent.twin", "--folder", str(self.folder), "--password", PASSWORD]
        return subprocess.Popen([*command, *self._arguments], cwd=ROOT, stderr=subprocess.PIPE, text=True)

    async def serving(self) -> None:
        def connected() -> bool:
            assert self.process.poll() is None, "the twin has ended"
            return mt5.initialize(str(self.folder), login=1_000_001, password=PASSWORD)

        await eventually(connected, timeout_s=60)

    async def restart_after_kill(self) -> None:
        self.end(signal.SIGKILL)
        self.process = self._spawn()
        await self.serving()

    def end(self, number: signal.Signals = signal.SIGTERM) -> str:
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.communicate(timeout=60)[1]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Twin]]:
    started: list[Twin] = []

    def begin(*arguments: str) -> Twin:
        started.append(Twin(tmp_path / "twin", *arguments))
        return started[-1]

    yield begin
    mt5.shutdown()
    for twin in started:
        twin.end(signal.SIGKILL)


def history(symbol: str) -> Ticks:
    ticks = mt5.copy_ticks_from(symbol, 0, 10**7, ALL)
    assert ticks is not None, mt5.last_error()
    return ticks


def has_ticks(symbol: str, count: int) -> bool:
    return len(history(symbol)) >= count


async def test_what_was_seen_survives_a_kill(start: Callable[..., Twin]) -> None:
    """After kill -9 the same ticks, deals, position and tickets are there, and `sent` has not fallen."""
    twin = start()
    await twin.serving()
    await eventually(lambda: len(history("EURUSD")) > 5)
    result = mt5.order_send(ORDER)
    assert result is not None
    assert result.retcode == mt5.TRADE_RETCODE_DONE
    ticks, deals = history("EURUSD"), mt5.history_deals_get(0, 2**31 - 1)
    position, sent = mt5.positions_get(), feed_status(twin.folder)
    twin.end(signal.SIGKILL)
    assert mt5.symbol_info_tick("EURUSD") is None
    assert mt5.last_error()[0] in (-10001, -10002)
    assert mt5.positions_get() is None
    assert mt5.last_error() == (-10004, "No IPC connection")
    with pytest.raises(TwinUnreachableError):
        feed_status(twin.folder)
    await twin.restart_after_kill()
    again = history("EURUSD")
    assert np.array_equal(again[: len(ticks)], ticks)
    assert mt5.history_deals_get(0, 2**31 - 1) == deals
    assert [held.ticket for held in mt5.positions_get() or ()] == [held.ticket for held in position or ()]
    status = feed_status(twin.folder)
    assert all(status[symbol]["sent"] >= sent[symbol]["sent"] for symbol in status)
    await eventually(lambda: len(history("EURUSD")) > len(again))


async def test_a_replay_is_released_over_kills_without_loss(start: Callable[..., Twin], tmp_path: Path) -> None:
    """`sent` only rises, over three kills, to exactly the file's ticks; what clients read is the file."""
    file = generate(tmp_path, "EURUSD", 3000, seed=3)
    twin = start("--feeds", file.feed, "--speed", "60")
    await twin.serving()
    highest = 0
    for kill in range(3):
        await eventually(partial(has_ticks, "EURUSD", file.ticks * (kill + 1) // 5), timeout_s=20)
        sent = feed_status(twin.folder)["EURUSD"]["sent"]
        assert sent >= highest
        highest = sent
        await twin.restart_after_kill()
        assert feed_status(twin.folder)["EURUSD"]["sent"] >= highest
    await eventually(lambda: feed_status(twin.folder)["EURUSD"]["ended"], timeout_s=30)
    status = feed_status(twin.folder)["EURUSD"]
    assert (status["sent"], status["total"], status["digits"]) == (file.ticks, file.ticks, file.digits)
    ticks = history("EURUSD")
    assert int(np.rint(ticks["bid"] * 10**file.digits).sum()) == file.bid_points_sum
    assert int(np.rint(ticks["ask"] * 10**file.digits).sum()) == file.ask_points_sum


async def test_paging_by_seconds_reads_every_tick_once(start: Callable[..., Twin], tmp_path: Path) -> None:
    """The way a worker reads: floor the second, skip what was seen of it; most pages are quick."""
    file = generate(tmp_path, "EURUSD", 20_000, seed=4)
    twin = start("--feeds", file.feed, "--speed", "max")
    await twin.serving()
    read, second, seen = 0, 0, 0
    took_s: list[float] = []
    while True:
        began = time.perf_counter()
        page = mt5.copy_ticks_from("EURUSD", second, 2000 + seen, ALL)
        took_s.append(time.perf_counter() - began)
        assert page is not None
        fresh = page[seen:]
        if not len(fresh):
            break
        read += len(fresh)
        second = int(page[-1]["time"])
        seen = int((page["time"] == second).sum())
    assert read == file.ticks
    assert statistics.median(took_s) < 0.1


async def test_what_was_done_to_a_history_survives_a_kill(start: Callable[..., Twin], tmp_path: Path) -> None:
    """Corrected, removed, inserted, shown: after kill -9 the history is the changed one; nonsense is refused."""
    files = [generate(tmp_path, symbol, 500, seed=6) for symbol in ("EURUSD", "GBPUSD")]
    twin = start("--feeds", *(file.feed for file in files), "--speed", "max", "--hidden", "GBPUSD")
    await twin.serving()
    ticks = history("EURUSD")
    with pytest.raises(TwinRefusedError, match="shows no GBPUSD"):
        remove_ticks(twin.folder, "GBPUSD", 0, 1)
    first, last = (int(ticks[place]["time_msc"]) for place in (0, -1))
    correct_tick(twin.folder, "EURUSD", last, 0, 1.5, 1.6)
    removed = remove_ticks(twin.folder, "EURUSD", first, first + 1000)
    inserted = insert_ticks(twin.folder, "EURUSD", ticks[ticks["time_msc"] == first])
    show_symbol(twin.folder, "GBPUSD")
    changed = history("EURUSD")
    assert len(changed) == len(ticks) - removed + inserted == feed_status(twin.folder)["EURUSD"]["sent"]
    assert 1.5 in changed["bid"][changed["time_msc"] == last]
    await twin.restart_after_kill()
    assert np.array_equal(history("EURUSD"), changed)
    assert len(history("GBPUSD")) == feed_status(twin.folder)["GBPUSD"]["sent"] == 500


async def test_a_client_killed_inside_order_send_leaves_one_deal(start: Callable[..., Twin], tmp_path: Path) -> None:
    """The request had been sent: the terminal executed it although nobody was left to hear so."""
    file = generate(tmp_path, "EURUSD", 100, seed=5)
    twin = start("--feeds", file.feed, "--speed", "max")
    await twin.serving()
    script = (
        "from pc_agent.twin import client as mt5\n"
        f"assert mt5.initialize({str(twin.folder)!r})\n"
        f"mt5.order_send({ORDER!r})\n"
        "raise SystemExit(3)"
    )
    marker = tmp_path / "killed"
    environment = {**os.environ, "SUHO_FAILPOINTS": f"order_send.inside=kill@{marker}"}
    client = await asyncio.create_subprocess_exec(sys.executable, "-c", script, cwd=ROOT, env=environment)
    assert await asyncio.wait_for(client.wait(), 30) == -signal.SIGKILL
    await eventually(lambda: deal_count(twin.folder, 77) == 1)
    deals = mt5.history_deals_get(0, 2**31 - 1) or ()
    assert [deal.comment for deal in deals if deal.magic == 77] == [ORDER["comment"]]


async def test_a_stopped_terminal_times_out(start: Callable[..., Twin]) -> None:
    """A process that hangs gives IPC timeout, then no connection, not a client that hangs too."""
    twin = start()
    await twin.serving()
    await eventually(lambda: mt5.initialize(str(twin.folder), timeout=300))
    twin.process.send_signal(signal.SIGSTOP)
    await eventually(lambda: mt5.account_info() is None)  # the signal takes hold a moment later
    assert mt5.last_error() == (-10005, "IPC timeout")
    assert mt5.account_info() is None
    assert mt5.last_error() == (-10004, "No IPC connection")
    assert mt5.initialize(str(twin.folder), timeout=300) is False
    assert mt5.last_error()[0] == -10003
    twin.process.send_signal(signal.SIGCONT)
    await eventually(lambda: mt5.initialize(str(twin.folder)))


async def test_the_endpoint_is_for_the_owner_only_and_goes_at_the_end(start: Callable[..., Twin]) -> None:
    """endpoint.json has mode 0600, a wrong key and a wrong password are refused, SIGTERM ends it all in order."""
    twin = start()
    await twin.serving()
    path = twin.folder / "endpoint.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert mt5.initialize(str(twin.folder), login=1_000_001, password="guess") is False
    assert mt5.last_error() == (-6, "Terminal: Authorization failed")
    assert mt5.account_info() is None
    endpoint = Endpoint.read(twin.folder)
    other = twin.folder.parent / "other"
    other.mkdir()
    Endpoint(endpoint.host, endpoint.port, b"wrong").write(other)
    assert mt5.initialize(str(other)) is False
    assert mt5.last_error()[0] == -10003
    await twin.serving()
    errors = twin.end(signal.SIGTERM)
    assert twin.process.returncode == 0, errors
    assert not path.exists()
    assert PASSWORD not in errors


async def test_a_folder_has_one_terminal(start: Callable[..., Twin]) -> None:
    """A second one says so and does not start."""
    twin = start()
    await twin.serving()
    second = start()
    errors = second.process.communicate(timeout=60)[1]
    assert second.process.returncode == 78
    assert "is in use by another terminal" in errors


@pytest.mark.parametrize(
    ("text", "said"),
    [("date,ms_of_day_utc,bid,ask\n2014-05-01,1,x,1\n", "line 2: expected bid and ask"), ("a,b\n", "line 1: expected")],
)
def test_a_corrupt_replay_file_is_a_wrong_setting(
    start: Callable[..., Twin], tmp_path: Path, text: str, said: str
) -> None:
    """The program names file and line and does not start."""
    path = tmp_path / "bad.csv"
    path.write_text(text)
    twin = start("--feeds", f"EURUSD={path}", "--speed", "max")
    errors = twin.process.communicate(timeout=60)[1]
    assert twin.process.returncode == 78
    assert f"{path}, {said}" in errors


async def test_three_real_symbols_are_one_terminal(start: Callable[..., Twin], data_dir: Path) -> None:
    """1,908,478 ticks, all released at once; a page of 10,000 takes about a millisecond."""
    names = (
        "eurusd_ticks_2014-05-01_2014-05-15",
        "nzdusd_ticks_2014-05-01_2014-05-15",
        "xauusd_ticks_2014-05-04_2014-05-09",
    )
    twin = start("--feeds", *(str(data_dir / f"lean_oanda_{name}.csv.gz") for name in names), "--speed", "max")
    await twin.serving()
    status = feed_status(twin.folder)
    assert {symbol: feed["sent"] for symbol, feed in status.items()} == {
        "EURUSD": 532_903, "NZDUSD": 457_699, "XAUUSD": 917_876,
    }  # fmt: skip
    assert all(feed["ended"] for feed in status.values())
    took_s: list[float] = []
    for second in range(1_399_300_000, 1_399_300_050):
        began = time.perf_counter()
        page = mt5.copy_ticks_from("XAUUSD", second, 10_000, ALL)
        took_s.append(time.perf_counter() - began)
        assert page is not None
        assert len(page) == 10_000
    assert statistics.median(took_s) < 0.01
    assert len(history("XAUUSD")) == 917_876
