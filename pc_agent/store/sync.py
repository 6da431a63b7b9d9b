"""Keeps the store in step with the database service: one exchange when something changed, and every so often.

What is changed while the mesh is away waits in the store's journal. A change bears an id of its own and the version
that it was made of, so that it counts once, however often it is sent.
"""

import asyncio
from collections.abc import Iterable
from uuid import UUID

import duckdb
import grpc
from suho.common.v1 import record_pb2
from suho.database.v1 import reference_service_pb2 as pb
from suho.database.v1 import reference_service_pb2_grpc

from mesh.errors import MeshError
from mesh.log import get_logger
from mesh.waiting import backoff
from pc_agent.domain.reference import Key, Kind
from pc_agent.store.journal import Change
from pc_agent.store.preferences import LivePreferences
from pc_agent.store.record_messages import key_message, kind_of, record_message, record_of
from pc_agent.store.settling import Outcome, Verdict
from pc_agent.store.store import Store

log = get_logger(__name__)

_MOST_CHANGES = 100
_MOST_KNOWN = 1000
_TIMEOUT_S = 5.0
_MOST_PAUSE_S = 30.0
_PARTING_S = 1.0
# No answer, a store that fails, or an answer that can not be read: one of a newer contract.
_FAILED = (grpc.aio.AioRpcError, duckdb.Error, ValueError, ArithmeticError)
# So often in a row without an answer; the first seconds are nobody's concern.
_CONCERN = 5


class RecordSync:
    """The exchange with the database service, through `channel`."""

    def __init__(
        self, channel: grpc.aio.Channel, store: Store, preferences: LivePreferences, user: UUID, every_s: float
    ) -> None:
        self._stub = reference_service_pb2_grpc.ReferenceServiceStub(channel)
        self._store = store
        self._preferences = preferences
        self._user = user
        self._every_s = every_s
        self._failures = 0

    async def run(self) -> None:
        """For ever."""
        pauses = backoff(0.5, _MOST_PAUSE_S)
        while True:
            self._store.changed.clear()
            try:
                await self.exchange()
            except _FAILED as error:
                self._note_away(error)
                await asyncio.sleep(next(pauses))
                continue
            self._failures = 0
            pauses = backoff(0.5, _MOST_PAUSE_S)
            await self._until_due()

    async def part(self) -> None:
        """Once more before the end, if somebody answers at once; what is left goes up after the next start."""
        try:
            async with asyncio.timeout(_PARTING_S):
                await self.exchange()
        except (*_FAILED, TimeoutError) as error:
            log.debug("records wait for the next start", because=str(error)[:300])

    async def exchange(self) -> None:
        """One turn: what waits goes up, what is newer comes down, and is in force.

        Raises:
            AioRpcError: the database service did not answer; nothing is lost.
        """
        changes = await self._store.to_send(_MOST_CHANGES)
        response = await self._stub.ExchangeRecords(
            pb.ExchangeRecordsRequest(
                changes=[_change_message(change) for change in changes],
                known=await self._known(),
            ),
            timeout=_TIMEOUT_S,
        )
        left = await self._store.settle(
            list(_outcomes(response.outcomes)),
            [record_of(message) for message in response.records],
            [Key(kind_of(key.kind), UUID(key.id)) for key in response.missing],
        )
        await self._preferences.exchanged()
        if left:  # merged with another's, or made meanwhile
            self._store.changed.set()

    async def _known(self) -> list[record_pb2.RecordKey]:
        held = (await self._store.held())[: _MOST_KNOWN - 1]
        known = [key_message(one.key, one.version, one.updated_unix_ms) for one in held]
        mine = Key(Kind.PREFERENCES, self._user)
        return known if mine in {one.key for one in held} else [*known, key_message(mine, 0, 0)]

    async def _until_due(self) -> None:
        try:
            async with asyncio.timeout(self._every_s):
                await self._store.changed.wait()
        except TimeoutError:
            pass  # time for another look

    def _note_away(self, error: Exception) -> None:
        self._failures += 1
        if self._failures == _CONCERN:
            because = str(MeshError.of(error)) if isinstance(error, grpc.aio.AioRpcError) else str(error)
            log.warning("records wait for the database service", because=because[:300])


def _change_message(change: Change) -> pb.RecordChange:
    return pb.RecordChange(change_id=str(change.change_id), record=record_message(change.record))


def _outcomes(messages: Iterable[pb.ChangeOutcome]) -> Iterable[Outcome]:
    for message in messages:
        verdict = Verdict(pb.ChangeVerdict.Name(message.verdict).removeprefix("CHANGE_VERDICT_"))
        record = record_of(message.record) if message.HasField("record") else None
        yield Outcome(UUID(message.change_id), verdict, record, message.message)
