"""ReferenceService."""

from collections.abc import Iterable, Sequence
from typing import Any

from suho.common.v1 import page_pb2, record_pb2
from suho.database.v1 import reference_service_pb2 as pb
from suho.database.v1 import reference_service_pb2_grpc

from mesh.errors import MeshError, Reason
from services.database.cached_preferences import CachedPreferences
from services.database.clickhouse.reference_history import ReferenceHistory
from services.database.domain.reference import BadRecordError, Key, Kind, Record
from services.database.postgres.reference import Change, Outcome, ReferenceRecords, Stamp, Verdict
from services.database.servicers import reference_messages as edge
from services.database.servicers.edge import DEFAULT_PAGE, LARGEST_PAGE, invalid

_MOST_CHANGES = 100
_MOST_KNOWN = 1000


class ReferenceServicer(reference_service_pb2_grpc.ReferenceServiceServicer):
    def __init__(self, records: ReferenceRecords, preferences: CachedPreferences, history: ReferenceHistory) -> None:
        self._records = records
        self._preferences = preferences
        self._history = history

    async def ExchangeRecords(self, request: pb.ExchangeRecordsRequest, context: Any) -> pb.ExchangeRecordsResponse:
        if len(request.changes) > _MOST_CHANGES:
            raise invalid(f"{len(request.changes)} changes are too many for one call; send at most {_MOST_CHANGES}")
        if len(request.known) > _MOST_KNOWN:
            raise invalid(f"{len(request.known)} known records are too many for one call; name at most {_MOST_KNOWN}")
        outcomes = [await self._apply(message) for message in request.changes]
        told = [outcome.record for outcome in outcomes if outcome.record is not None]
        records, missing = await self._compare(request.known, told)
        return pb.ExchangeRecordsResponse(
            outcomes=[_outcome_message(outcome) for outcome in outcomes],
            records=[edge.record_message(record) for record in records],
            missing=[edge.key_message(key) for key in missing],
        )

    async def ListRecords(self, request: pb.ListRecordsRequest, context: Any) -> pb.ListRecordsResponse:
        page = request.page
        if page.size > LARGEST_PAGE:
            raise MeshError(Reason.INVALID_PAGE, f"page.size is {page.size}; at most {LARGEST_PAGE} fit a page")
        size = page.size or DEFAULT_PAGE
        after = edge.uuid("page.token", page.token) if page.token else None
        found = await self._records.page(edge.kind(request.kind), request.removed_too, after, size + 1)
        return pb.ListRecordsResponse(
            records=[edge.record_message(record) for record in found[:size]],
            page=page_pb2.PageInfo(next_token=str(found[size - 1].key.id) if len(found) > size else ""),
        )

    async def GetRecord(self, request: pb.GetRecordRequest, context: Any) -> pb.GetRecordResponse:
        key = Key(edge.kind(request.kind), edge.uuid("id", request.id))
        found = await (self._preferences.get(key.id) if key.kind is Kind.PREFERENCES else self._records.get(key))
        if found is None:
            raise MeshError(Reason.UNKNOWN_RECORD, f"there is no {key.kind.lower()} {key.id}", kind=key.kind, id=key.id)
        return pb.GetRecordResponse(record=edge.record_message(found))

    async def ListRecordVersions(
        self, request: pb.ListRecordVersionsRequest, context: Any
    ) -> pb.ListRecordVersionsResponse:
        if request.limit > LARGEST_PAGE:
            raise invalid(f"limit is {request.limit}; at most {LARGEST_PAGE} are given at once")
        wanted = edge.kind(request.kind), edge.uuid("id", request.id), request.limit or DEFAULT_PAGE
        return pb.ListRecordVersionsResponse(
            records=[edge.record_message(record) for record in await self._history.versions(*wanted)]
        )

    async def _apply(self, message: pb.RecordChange) -> Outcome:
        """A change that can not be read is refused alone."""
        change_id = edge.uuid("change_id", message.change_id)
        try:
            record = edge.record(message.record)
        except BadRecordError as error:
            return Outcome(change_id, Verdict.REFUSED, None, str(error))
        outcome = await self._records.apply(Change(change_id, record))
        if record.kind is Kind.PREFERENCES and outcome.record is not None:
            await self._preferences.put(outcome.record)
        return outcome

    async def _compare(
        self, messages: Iterable[record_pb2.RecordKey], told: Sequence[Record]
    ) -> tuple[list[Record], list[Key]]:
        """As `ReferenceRecords.compare`, preferences from the cache."""
        known = {edge.key(message): Stamp(message.version, message.updated_unix_ms) for message in messages}
        hot: list[Record] = []
        for key in [key for key in known if key.kind is Kind.PREFERENCES]:
            cached, stamp = await self._preferences.get(key.id), known[key]
            if cached is not None and cached.version >= stamp.version:
                del known[key]
                if (cached.version, cached.updated_unix_ms) != stamp:
                    hot.append(cached)
        records, missing = await self._records.compare(known, told)
        keys = {record.key for record in told}
        return [*records, *(record for record in hot if record.key not in keys)], missing


def _outcome_message(outcome: Outcome) -> pb.ChangeOutcome:
    return pb.ChangeOutcome(
        change_id=str(outcome.change_id),
        verdict=pb.ChangeVerdict.Value(f"CHANGE_VERDICT_{outcome.verdict}"),
        record=None if outcome.record is None else edge.record_message(outcome.record),
        message=outcome.message,
    )
