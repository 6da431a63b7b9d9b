"""Preferences of those who are there, in the cache: a copy that ends with the session, beside PostgreSQL's own."""

from uuid import UUID

from redis.asyncio import Redis

from mesh.errors import MeshError
from services.database.domain.reference import Key, Kind, Record
from services.database.postgres.reference import ReferenceRecords
from services.database.reference_rows import record_from, text_of
from services.database.valkey import answering

# A copy that was read before a newer one was written does not take its place.
_PUT_NEWER = """
local there = redis.call('HGET', KEYS[1], 'version')
if not there or tonumber(there) <= tonumber(ARGV[1]) then
  redis.call('HSET', KEYS[1], 'version', ARGV[1], 'record', ARGV[2])
end
redis.call('EXPIRE', KEYS[1], ARGV[3])
return 1
"""


class CachedPreferences:
    """A hash at `preferences:{user_id}`; whoever is not heard of for `session_s` drops out of it."""

    def __init__(self, redis: Redis, records: ReferenceRecords, session_s: int) -> None:
        self._redis = redis
        self._records = records
        self._session_s = session_s
        self._put_newer = redis.register_script(_PUT_NEWER)

    async def get(self, user: UUID) -> Record | None:
        """From the cache, and from PostgreSQL where it has none or is away.

        Raises:
            MeshError: ENGINE_UNAVAILABLE.
        """
        try:
            found = await self._cached(user)
        except MeshError:
            return await self._records.get(Key(Kind.PREFERENCES, user))
        if found is None:
            found = await self._records.get(Key(Kind.PREFERENCES, user))
            if found is not None:
                await self._fill(found)
        return found

    async def put(self, record: Record) -> None:
        """After PostgreSQL has it. Who gets the error says it again, so that no old copy is left.

        Raises:
            MeshError: ENGINE_UNAVAILABLE.
        """
        async with answering():
            await self._put_newer(keys=[_key(record.key.id)], args=[record.version, text_of(record), self._session_s])

    async def _cached(self, user: UUID) -> Record | None:
        async with answering(), self._redis.pipeline(transaction=False) as pipeline:
            pipeline.hget(_key(user), "record")
            pipeline.expire(_key(user), self._session_s)
            text = (await pipeline.execute())[0]
        return None if text is None else record_from(Kind.PREFERENCES, text)

    async def _fill(self, record: Record) -> None:
        try:
            await self.put(record)
        except MeshError:
            return  # the next one who asks fills it


def _key(user: UUID) -> str:
    return f"preferences:{user}"
