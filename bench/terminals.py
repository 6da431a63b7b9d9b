"""`suho bench terminals`: one terminal against five of the same account, and what an order waits behind reads."""

import asyncio
import contextlib
import functools
import os
import secrets
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np

from bench.platform import replay_of
from bench.race import NoShowError
from bench.report import Figure, Report
from bench.source import generated
from compose.embedded.programs import toml_of
from mesh.clock import boot_ns
from mesh.log import configure_logging
from mesh.market import BEFORE_FIRST
from pc_agent.domain.orders import Account, OrderState, Side, Signal, mark_of
from pc_agent.orders.whole_books import past_orders
from pc_agent.terminal.messages import Adjust, OrderDone, OrderTask, PriceBounds, ReadHistory, Sending, WorkerTerms
from pc_agent.terminal.pool import TerminalPool
from pc_agent.terminal.worker import TerminalWorker
from pc_agent.twin.control import TwinUnreachableError, feed_status

LATENCY_MS = 30.0
SYMBOLS = tuple(f"S{number:02}" for number in range(20))
_TICKS = 400_000
_READY_WITHIN_S = 60.0
_READERS = 4
# Orders that ended at once, of which the terminal's past is asked.
_TICKETS = 100
_PAUSE_S = 0.02


class Shots:
    """Orders, and when each was called and answered."""

    def __init__(self, pool: TerminalPool) -> None:
        assert pool.facts is not None
        self._pool = pool
        self._account = Account(pool.facts.account.server, pool.facts.account.login)
        self._sent: dict[str, int] = {}
        self._open: set[str] = set()
        self._all_done = asyncio.Event()
        self._failure = ""
        self.to_called_ms: list[float] = []
        self.to_done_ms: list[float] = []
        self.tickets: list[int] = []

    def order_sending(self, sending: Sending) -> None:
        self.to_called_ms.append((sending.called_unix_ns - self._sent[sending.signal_id]) / 1e6)

    def order_done(self, done: OrderDone) -> None:
        if done.result.state is not OrderState.FILLED:
            self._failure = f"the twin did not fill an order: {done.result.reason} {done.result.message}"
        self.to_done_ms.append((time.time_ns() - self._sent[done.signal_id]) / 1e6)
        self.tickets.append(done.result.ticket)
        self._open.discard(done.signal_id)
        if not self._open:
            self._all_done.set()

    async def fire(self, count: int) -> None:
        """So many at once, the symbols in turn; until all are done."""
        tasks = [self._task(SYMBOLS[number % len(SYMBOLS)]) for number in range(count)]
        self._open = {task.signal_id for task in tasks}
        self._all_done.clear()
        now = time.time_ns()
        self._sent.update(dict.fromkeys(self._open, now))
        self._pool.send_orders(tasks, self)
        await self._all_done.wait()
        if self._failure:
            raise NoShowError(self._failure)

    def _task(self, symbol: str) -> OrderTask:
        signal_id, late = secrets.token_hex(8), boot_ns() + 60 * 10**9
        signal = Signal(signal_id, self._account, 1, 1, False, False, symbol, Side.BUY, "0.01", "", "", 2**53)
        return OrderTask(signal, mark_of(signal_id), self._account.login, late, late, PriceBounds(1_000))


async def run(orders: int, report: Report) -> dict[str, float]:
    """The object on the last line.

    Raises:
        NoShowError: the twin or a terminal does not come up, or does not fill.
    """
    configure_logging("bench", "terminals", "error", "console")  # the pool's own lines, beside the figures
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="suho-bench-") as name, replay_of(generated(_TICKS, SYMBOLS)) as feeds:
        folder = Path(name)
        report.say(f"a twin whose broker takes {LATENCY_MS:g} ms, {len(SYMBOLS)} symbols, {orders} orders at once")
        async with _twin(folder / "slow", feeds[1::2], LATENCY_MS) as twin:
            for terminals in (1, 5):
                async with _pool(twin, terminals, 7) as pool:
                    await _race(pool, terminals, orders, report, found)
        async with _twin(folder / "quick", feeds[1::2], 0.0) as twin, _pool(twin, 1, 7) as pool:
            await _wait_behind_reads(pool, orders, report, found)
    found["gain"] = round(found["orders_per_s_5"] / found["orders_per_s_1"], 2)
    report.add(Figure("gain", "five terminals against one", found["gain"], "times the orders"))
    return found


async def _race(pool: TerminalPool, terminals: int, orders: int, report: Report, found: dict[str, float]) -> None:
    shots = Shots(pool)
    began = time.monotonic()
    await shots.fire(orders)
    rate = orders / (time.monotonic() - began)
    p50, p99 = _quantiles(shots.to_done_ms)
    label = "1 terminal" if terminals == 1 else f"{terminals} terminals"
    report.add(
        Figure(f"orders_per_s_{terminals}", f"{label}: orders", rate, "orders/s", f"p50 {p50:.0f} ms, p99 {p99:.0f} ms")
    )
    found |= {f"orders_per_s_{terminals}": round(rate, 1), f"p50_ms_{terminals}": p50, f"p99_ms_{terminals}": p99}


async def _wait_behind_reads(pool: TerminalPool, orders: int, report: Report, found: dict[str, float]) -> None:
    """Single orders, handed over while nothing else is asked of the terminal, then while something is all the time."""
    ended = Shots(pool)
    await ended.fire(_TICKETS)
    reads: dict[str, list[Callable[[], Awaitable[None]]]] = {
        "idle": [],
        "reading": [functools.partial(_read_history, pool, symbol) for symbol in SYMBOLS[:_READERS]],
        "books": [functools.partial(_read_books, pool, ended.tickets)],
        "symbols": [functools.partial(_change_symbols, pool)],
    }
    for name, readers in reads.items():
        shots = Shots(pool)
        async with asyncio.TaskGroup() as tasks:
            reading = [tasks.create_task(_for_ever(read)) for read in readers]
            for _ in range(orders):
                await shots.fire(1)
                await asyncio.sleep(_PAUSE_S)
            for task in reading:
                task.cancel()
        p50, p99 = _quantiles(shots.to_called_ms)
        most = round(max(shots.to_called_ms), 3)
        report.add(
            Figure(f"{name}_p99_ms", f"handed over to called, {name}: p99", p99, "ms", f"p50 {p50}, most {most}")
        )
        found |= {f"{name}_p50_ms": p50, f"{name}_p99_ms": p99, f"{name}_max_ms": most}


async def _for_ever(read: Callable[[], Awaitable[None]]) -> None:
    while True:
        await read()


async def _read_history(pool: TerminalPool, symbol: str) -> None:
    """From its beginning to its end."""
    after, ended = BEFORE_FIRST, False
    while not ended:
        page = await pool.read_history(ReadHistory(0, symbol, after, 0, 2**62))
        after, ended = page.last, page.ended


async def _read_books(pool: TerminalPool, tickets: list[int]) -> None:
    """What is open, and what became of orders that ended at once."""
    await past_orders(pool, tickets)


async def _change_symbols(pool: TerminalPool) -> None:
    """Those that are carried are named, and named no more: all are looked at anew."""
    for named in (SYMBOLS, ()):
        pool.adjust([Adjust(named, 30.0, 1_200, "error") for _ in pool.workers])
        pool.refresh_symbols()
        await asyncio.sleep(_PAUSE_S)


def _quantiles(values: list[float]) -> tuple[float, float]:
    p50, p99 = np.quantile(values, [0.5, 0.99])
    return round(float(p50), 3), round(float(p99), 3)


@contextlib.asynccontextmanager
async def _twin(folder: Path, feeds: list[str], latency_ms: float) -> AsyncIterator[Path]:
    home = folder / "twin"
    settings: dict[str, Any] = {
        "folder": str(home), "feeds": tuple(feeds), "speed": "max", "login": 7, "password": "bench",
        "balance": 1e9, "latency_ms": latency_ms,
    }  # fmt: skip
    config = _written(folder / "twin.toml", toml_of(settings))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "pc_agent.twin", "--config", str(config)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        await _until(lambda: _is_fed(home), "the twin")
        yield home
    finally:
        process.terminate()
        await process.wait()


def _written(file: Path, text: str) -> Path:
    file.parent.mkdir(exist_ok=True)
    file.touch(mode=0o600)
    file.write_text(text, "utf-8")
    return file


async def _is_fed(home: Path) -> bool:
    try:
        status = await asyncio.to_thread(feed_status, home)
    except TwinUnreachableError:
        return False
    return all(feed["ended"] for feed in status.values())


@contextlib.asynccontextmanager
async def _pool(twin: Path, terminals: int, login: int) -> AsyncIterator[TerminalPool]:
    """So many terminals of the same account: one twin serves any number."""
    folder = twin.parent
    password = _written(folder / "password", "bench")
    workers = [
        TerminalWorker(
            WorkerTerms(
                "bench", f"t{number}", folder / f"t{number}.lock", os.getpid(), "pc_agent.twin.client", str(twin),
                login=login, password_file=password, log_level="error",
            ),
            hang_s=30,
        )
        for number in range(terminals)
    ]  # fmt: skip
    pool = TerminalPool(workers, lost_after_s=_READY_WITHIN_S)  # each has its part from the start
    failure: BaseException | None = None
    try:
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(pool.run())
            await _until(lambda: _is_whole(pool), "a terminal")
            yield pool
            await pool.stop()
            await running
    except* NoShowError as errors:
        failure = errors.exceptions[0]
    if failure:
        raise failure


async def _is_whole(pool: TerminalPool) -> bool:
    return all(worker.connected and worker.seen for worker in pool.workers)


async def _until(true: Callable[[], Awaitable[bool]], what: str) -> None:
    try:
        async with asyncio.timeout(_READY_WITHIN_S):
            while True:
                if await true():
                    return
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise NoShowError(f"{what} did not come up within {_READY_WITHIN_S:g} s") from None
