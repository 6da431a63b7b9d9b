"""The cache: Valkey, DragonflyDB or Redis. The newest tick of each symbol."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, RedisError

from mesh.config import SettingsError
from mesh.errors import MeshError, Reason
from mesh.market import TickId
from mesh.waiting import until_available
from services.database.domain.tick import Tick

_TIMEOUT_S = 5
_FIELDS = ("time_msc", "ordinal", "bid", "ask", "last", "volume", "volume_real", "flags")

# Compare and set in one step: two bridges may bring the same symbol. Milliseconds fit a double exactly.
_PUT_NEWER = """
local there = redis.call('HMGET', KEYS[1], 'time_msc', 'ordinal')
if there[1] then
  local time, ordinal = tonumber(there[1]), tonumber(there[2])
  local new_time, new_ordinal = tonumber(ARGV[2]), tonumber(ARGV[4])
  if new_time < time or (new_time == time and new_ordinal <= ordinal) then return 0 end
end
redis.call('HSET', KEYS[1], unpack(ARGV))
return 1
"""


class NewestTicks:
    """The newest tick of each symbol: a hash at `tick:{symbol}:{server}`."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._put_newer = redis.register_script(_PUT_NEWER)

    async def put(self, ticks: Sequence[Tick]) -> None:
        """Keep each tick that is newer than what is there.

        Raises:
            MeshError: ENGINE_UNAVAILABLE.
        """
        async with answering(), self._redis.pipeline(transaction=False) as pipeline:
            for tick in ticks:
                await self._put_newer(keys=[_key(tick.server, tick.symbol)], args=_fields(tick), client=pipeline)
            await pipeline.execute()

    async def get(self, server: str, symbol: str) -> Tick | None:
        """Raises MeshError ENGINE_UNAVAILABLE."""
        async with answering():
            values = await self._redis.hmget(_key(server, symbol), list(_FIELDS))
        found = [value for value in values if value is not None]
        if not found:
            return None
        time_msc, ordinal, bid, ask, last, volume, volume_real, flags = found
        return Tick(
            server=server,
            symbol=symbol,
            id=TickId(int(time_msc), int(ordinal)),
            bid=float(bid),
            ask=float(ask),
            last=float(last),
            volume=int(volume),
            volume_real=float(volume_real),
            flags=int(flags),
        )


@asynccontextmanager
async def open_valkey(url: str) -> AsyncIterator[Redis]:
    """Wait for the cache; a client for as long as the block runs.

    Raises:
        SettingsError: the password is refused, or the URL is none.
    """
    try:
        redis = Redis.from_url(url, socket_timeout=_TIMEOUT_S, socket_connect_timeout=_TIMEOUT_S)
    except ValueError:
        raise SettingsError("setting 'valkey_url': write redis://:password@host:port/db") from None

    async def attempt() -> None:
        try:
            await redis.ping()
        except AuthenticationError:
            raise SettingsError("setting 'valkey_url': the password is refused") from None

    async with redis:
        await until_available("valkey", attempt, (RedisError, OSError))
        yield redis


@asynccontextmanager
async def answering() -> AsyncIterator[None]:
    """Raises MeshError ENGINE_UNAVAILABLE for what the client raises when the cache is away."""
    try:
        yield
    except (RedisError, OSError) as error:
        raise MeshError(
            Reason.ENGINE_UNAVAILABLE, f"the cache does not answer ({type(error).__name__}); try again"
        ) from error


def _key(server: str, symbol: str) -> str:
    return f"tick:{symbol}:{server}"


def _fields(tick: Tick) -> list[str | int | float]:
    values = (*tick.id, tick.bid, tick.ask, tick.last, tick.volume, tick.volume_real, tick.flags)
    return [part for pair in zip(_FIELDS, values, strict=True) for part in pair]
