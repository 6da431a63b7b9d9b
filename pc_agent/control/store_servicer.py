"""StoreService, for the person at the PC."""

from collections.abc import Iterable
from dataclasses import fields
from typing import Any
from uuid import UUID

from suho.agent.v1 import store_pb2 as pb
from suho.agent.v1 import store_pb2_grpc
from suho.common.v1 import record_pb2

from mesh.clock import unix_ms
from mesh.errors import MeshError, Reason
from pc_agent.domain.reference import Key, Kind, Preferences, is_language
from pc_agent.store.preferences import LivePreferences
from pc_agent.store.record_messages import content_message, kind_number, kind_of, record_message, values_of
from pc_agent.store.rows import content_of
from pc_agent.store.store import Store, UnknownRecordError

_USUAL, _MOST = 100, 1000
_SETTABLE = tuple(field.name for field in fields(Preferences))[1:]


class StoreServicer(store_pb2_grpc.StoreServiceServicer):
    def __init__(self, store: Store, preferences: LivePreferences, by: str) -> None:
        self._store = store
        self._preferences = preferences
        self._by = by

    async def ListStoredRecords(
        self, request: pb.ListStoredRecordsRequest, context: Any
    ) -> pb.ListStoredRecordsResponse:
        kinds = (_kind(request.kind),) if request.kind else tuple(Kind)
        found = await self._store.records(kinds)
        return pb.ListStoredRecordsResponse(
            records=[pb.StoredRecord(record=record_message(one.record), waiting=one.waiting) for one in found]
        )

    async def GetPreferences(self, request: pb.GetPreferencesRequest, context: Any) -> pb.GetPreferencesResponse:
        return pb.GetPreferencesResponse(preferences=content_message(self._preferences.now))

    async def SetPreferences(self, request: pb.SetPreferencesRequest, context: Any) -> pb.SetPreferencesResponse:
        values = _values(request.preferences, request.fields.paths)
        preferences = await self._preferences.set(values)
        return pb.SetPreferencesResponse(preferences=content_message(preferences))

    async def RemoveRecord(self, request: pb.RemoveRecordRequest, context: Any) -> pb.RemoveRecordResponse:
        try:
            key = Key(_kind(request.kind), UUID(request.id))
        except ValueError:
            raise _invalid(f"id is {request.id[:60]!r}; give a UUID") from None
        if key.kind is Kind.PREFERENCES:
            raise _invalid("preferences are not removed; set them")
        try:
            await self._store.remove(key, unix_ms(), self._by)
        except UnknownRecordError as error:
            raise MeshError(Reason.UNKNOWN_RECORD, str(error)) from None
        return pb.RemoveRecordResponse()

    async def ListChanges(self, request: pb.ListChangesRequest, context: Any) -> pb.ListChangesResponse:
        if request.limit > _MOST:
            raise _invalid(f"limit is {request.limit}; at most {_MOST} are given at once")
        found = await self._store.changes(request.limit or _USUAL)
        return pb.ListChangesResponse(
            changes=[
                pb.StoredChange(
                    change_id=str(change.change_id),
                    kind=kind_number(change.key.kind),
                    id=str(change.key.id),
                    made_unix_ms=change.made_unix_ms,
                    state=pb.StoredChangeState.Value(f"STORED_CHANGE_STATE_{change.state}"),
                    outcome=change.outcome,
                )
                for change in found
            ]
        )


def _values(message: record_pb2.Preferences, names: Iterable[str]) -> dict[str, Any]:
    """Those fields as the domain has them.

    Raises:
        MeshError: INVALID_ARGUMENT, naming the field.
    """
    wanted = list(names)
    unknown = [name for name in wanted if name not in _SETTABLE]
    if unknown or not wanted:
        named = f"fields names {unknown[0][:60]!r}" if unknown else "fields names none"
        raise _invalid(f"{named}; give some of {', '.join(_SETTABLE)}")
    whole = record_pb2.Preferences(
        user_id=str(UUID(int=0)), theme=record_pb2.THEME_DARK, chart_type=record_pb2.CHART_TYPE_CANDLE, language="en"
    )
    for name in wanted:
        setattr(whole, name, getattr(message, name))
    try:
        content = content_of(Kind.PREFERENCES, values_of(whole))
    except ValueError as error:
        raise _invalid(str(error)) from None
    values = {name: getattr(content, name) for name in wanted}
    if not is_language(values.get("language", "en")):
        raise _invalid(f"language is {values['language'][:40]!r}; write a code such as en or pt-BR")
    return values


def _kind(number: "record_pb2.RecordKind.ValueType") -> Kind:
    try:
        return kind_of(number)
    except ValueError as error:
        raise _invalid(str(error)) from None


def _invalid(sentence: str) -> MeshError:
    return MeshError(Reason.INVALID_ARGUMENT, sentence)
