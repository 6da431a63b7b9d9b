"""The newest ticks of each symbol in the cache: packed one after the other in a string at `recent:{symbol}:{server}`.

The string is always an unbroken stretch up to the newest tick that was offered: what does not follow on it replaces
it. Where it is too short for a question, it is filled from ClickHouse.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from redis.asyncio import Redis

from mesh.errors import MeshError
from mesh.log import get_logger
from mesh.market import BEFORE_FIRST, Batch, TickId
from mesh.market.batch import COLUMNS
from mesh.waiting import obey_cancellation
from services.database.domain.span import Columns
from services.database.valkey import answering

log = get_logger(__name__)

MOST_RECENT = 1000

_ROW: np.dtype[Any] = np.dtype(list(COLUMNS.items()))
# Stands before a symbol's first tick: nothing older is stored.
_BEGINNING = np.zeros(1, _ROW)
# What one instance missed to tell the cache ends with it.
_KEEP_S = 3600
_RETRY_S = 1.0

# Strings take up to twice what is asked for before they are cut. Milliseconds fit Lua's doubles exactly.
_APPEND = f"""
local function identity(element) local t, o = struct.unpack('<i8I4', element); return t, o end
local held = redis.call('STRLEN', KEYS[1])
if held > 0 then
  local time, ordinal = identity(redis.call('GETRANGE', KEYS[1], -{_ROW.itemsize}, -1))
  local last_time, last_ordinal = identity(string.sub(ARGV[1], -{_ROW.itemsize}))
  if last_time < time or (last_time == time and last_ordinal <= ordinal) then return 0 end
  if time == tonumber(ARGV[2]) and ordinal == tonumber(ARGV[3]) then
    redis.call('APPEND', KEYS[1], ARGV[1])
    if held > {2 * MOST_RECENT * _ROW.itemsize} then
      redis.call('SET', KEYS[1], redis.call('GETRANGE', KEYS[1], -{MOST_RECENT * _ROW.itemsize}, -1), 'KEEPTTL')
    end
    return 1
  end
end
redis.call('SET', KEYS[1], ARGV[1], 'EX', {_KEEP_S})
return 1
"""

# Older ticks go before what is held, if that still begins as it did when they were looked for.
_FILL = f"""
local held = redis.call('GET', KEYS[1]) or ''
if string.sub(held, 1, {_ROW.itemsize}) ~= ARGV[2] then return 0 end
redis.call('SET', KEYS[1], ARGV[1] .. held, 'EX', {_KEEP_S})
return 1
"""


class _Newest:
    """The newest batches of a symbol that follow on each other: MOST_RECENT ticks and at most a batch more."""

    def __init__(self) -> None:
        self._batches: deque[Batch] = deque()
        self._ticks = 0

    def add(self, batch: Batch) -> None:
        if self._batches and self._batches[-1].last_id != batch.prev:
            self._batches.clear()
            self._ticks = 0
        self._batches.append(batch)
        self._ticks += len(batch)
        while self._ticks - len(self._batches[0]) >= MOST_RECENT:
            self._ticks -= len(self._batches.popleft())

    def joined(self) -> Batch:
        """At most MOST_RECENT."""
        joined = Batch.join(self._batches)
        return joined.slice(max(len(joined) - MOST_RECENT, 0), len(joined))


Stored = Callable[[str, str, int], Awaitable[Columns]]


class RecentTicks:
    """The newest ticks of each symbol, at most MOST_RECENT.

    Args:
        stored: The newest ticks of (server, symbol) that ClickHouse holds, in order.
    """

    def __init__(self, redis: Redis, stored: Stored) -> None:
        self._redis = redis
        self._stored = stored
        self._append = redis.register_script(_APPEND)
        self._fill = redis.register_script(_FILL)
        self._waiting: dict[tuple[str, str], _Newest] = {}
        self._changed: set[tuple[str, str]] = set()
        self._offered = asyncio.Event()

    def offer(self, batches: Sequence[Batch]) -> None:
        """Batches that were stored, in the log's order, for the cache soon; never blocks, keeps only the newest."""
        for batch in batches:
            self._waiting.setdefault((batch.server, batch.symbol), _Newest()).add(batch)
        self._offered.set()

    def changed(self, server: str, symbol: str) -> None:
        """Ticks were stored among older ones: what the cache holds of this symbol is to be read again."""
        self._changed.add((server, symbol))
        self._offered.set()

    async def run(self) -> None:
        """Bring to the cache what was offered, for ever; while it is away, what is newest waits."""
        while True:
            obey_cancellation()
            await self._offered.wait()
            self._offered.clear()
            try:
                await self.flush()
            except MeshError as error:
                log.warning("recent ticks wait", symbols=len(self._waiting), because=str(error))
                self._offered.set()
                await asyncio.sleep(_RETRY_S)

    async def flush(self) -> None:
        """Bring what was offered so far.

        Raises:
            MeshError: ENGINE_UNAVAILABLE; the symbols' strings are replaced by what comes later.
        """
        changed, self._changed = self._changed, set()
        waiting, self._waiting = self._waiting, {}
        try:
            async with answering(), self._redis.pipeline(transaction=False) as pipeline:
                for names, offered in waiting.items():
                    newest = offered.joined()
                    args: list[bytes | int] = [_packed(newest.columns()).tobytes(), *newest.prev]
                    await self._append(keys=[_key(*names)], args=args, client=pipeline)
                for names in changed:
                    pipeline.delete(_key(*names))
                await pipeline.execute()
        except MeshError:
            self._changed |= changed | set(waiting)
            raise

    async def get(self, server: str, symbol: str, count: int) -> Batch | None:
        """The newest `count` ticks or fewer, in order; None: there is none. Who read them when is not kept.

        Raises:
            MeshError: ENGINE_UNAVAILABLE.
        """
        async with answering():
            data: Any = await self._redis.getrange(_key(server, symbol), -count * _ROW.itemsize, -1)
        held = np.frombuffer(data, _ROW)
        if len(held) < count and (held["time_msc"][:1] != _BEGINNING["time_msc"]).all():
            held = await self._filled(server, symbol, held)
        ticks = held[held["time_msc"] > 0][-count:]
        return _batch(server, symbol, ticks) if len(ticks) else None

    async def _filled(self, server: str, symbol: str, held: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """`held` with what is stored before it; the cache gets it too."""
        stored = _packed(await self._stored(server, symbol, MOST_RECENT))
        first = _identity(held[0]) if len(held) else TickId(2**63 - 1, 0)
        older = stored[: _before(stored, first)]
        if len(stored) < MOST_RECENT:
            older = np.concatenate([_BEGINNING, older])
        async with answering():
            await self._fill(keys=[_key(server, symbol)], args=[older.tobytes(), held[:1].tobytes()])
        return np.concatenate([older, held])


def _packed(columns: Columns) -> npt.NDArray[Any]:
    rows = np.empty(len(columns["time_msc"]), _ROW)
    for name in COLUMNS:
        rows[name] = columns[name]
    return rows


def _before(rows: npt.NDArray[Any], tick: TickId) -> int:
    """How many of the rows, which ascend, come before `tick`."""
    earlier = (rows["time_msc"] < tick.time_msc) | (
        (rows["time_msc"] == tick.time_msc) & (rows["ordinal"] < tick.ordinal)
    )
    return int(earlier.sum())


def _identity(row: Any) -> TickId:
    return TickId(int(row["time_msc"]), int(row["ordinal"]))


def _batch(server: str, symbol: str, rows: npt.NDArray[Any]) -> Batch:
    columns: Any = {name: np.ascontiguousarray(rows[name]) for name in COLUMNS}
    return Batch(server, symbol, "", 0, BEFORE_FIRST, **columns)


def _key(server: str, symbol: str) -> str:
    return f"recent:{symbol}:{server}"
