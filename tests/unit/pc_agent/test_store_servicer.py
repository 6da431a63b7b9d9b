"""What the person at the PC can ask of the store, and what is refused."""

from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from suho.agent.v1 import store_pb2 as pb
from suho.common.v1 import record_pb2

from mesh.errors import MeshError, Reason
from pc_agent.control.store_servicer import StoreServicer
from pc_agent.domain.observation import TerminalLook, seen
from pc_agent.store.preferences import LivePreferences
from pc_agent.store.store import open_store

USER = UUID(int=7)
LOOK = TerminalLook("C:/MT5", True, "twin-1", "Twin Ltd", 42, 0, "USD", 100, 1000.1, 999.9, 50, 0, ("EURUSD",), True)


@pytest.fixture
async def servicer(tmp_path: Path) -> AsyncIterator[StoreServicer]:
    async with open_store(tmp_path) as store:
        await store.observe(seen("pc-1", LOOK), 1_000, "pc-1")
        preferences = LivePreferences(store, USER, "pc-1")
        await preferences.begin()
        yield StoreServicer(store, preferences, "person")


def wanted(*names: str, **values: object) -> pb.SetPreferencesRequest:
    preferences = record_pb2.Preferences(**values)  # type: ignore[arg-type]
    return pb.SetPreferencesRequest(preferences=preferences, fields=FieldMask(paths=names))


async def test_only_the_named_preferences_change(servicer: StoreServicer) -> None:
    """A switch that is named is set, off too; what is not named stays, whatever the message has of it."""
    await servicer.SetPreferences(
        wanted("trade_confirmation", "language", trade_confirmation=True, language="de"), None
    )
    await servicer.SetPreferences(wanted("notifications_enabled", language="fr"), None)
    now = (await servicer.GetPreferences(pb.GetPreferencesRequest(), None)).preferences
    assert (now.trade_confirmation, now.notifications_enabled, now.language) == (True, False, "de")
    assert (now.theme, now.user_id) == (record_pb2.THEME_DARK, str(USER))
    made = (await servicer.ListChanges(pb.ListChangesRequest(), None)).changes[0]
    assert (made.kind, made.state) == (record_pb2.RECORD_KIND_PREFERENCES, pb.STORED_CHANGE_STATE_PENDING)


async def test_a_preference_that_can_not_be_is_refused(servicer: StoreServicer) -> None:
    """The sentence names the field."""
    for request, because in (
        (wanted(), "names none"),
        (wanted("user_id", user_id="x"), "user_id"),
        (wanted("theme"), "theme is unset"),
        (wanted("language", language="english"), "en or pt-BR"),
    ):
        with pytest.raises(MeshError, match=because) as refused:
            await servicer.SetPreferences(request, None)
        assert refused.value.reason is Reason.INVALID_ARGUMENT


async def test_records_are_listed_with_what_waits_and_removed(servicer: StoreServicer) -> None:
    """All or one kind; what was removed is gone from the list, and what never was is told."""
    every = (await servicer.ListStoredRecords(pb.ListStoredRecordsRequest(), None)).records
    assert [one.record.WhichOneof("content") for one in every] == ["broker", "instance", "account"]
    assert all(one.waiting for one in every)
    account = every[2].record.account
    assert (account.balance, account.equity, account.leverage) == ("1000.1", "999.9", 100)
    kind = record_pb2.RECORD_KIND_ACCOUNT
    await servicer.RemoveRecord(pb.RemoveRecordRequest(kind=kind, id=account.account_id), None)
    assert not (await servicer.ListStoredRecords(pb.ListStoredRecordsRequest(kind=kind), None)).records
    for record_id, reason in ((str(uuid4()), Reason.UNKNOWN_RECORD), ("x", Reason.INVALID_ARGUMENT)):
        with pytest.raises(MeshError) as refused:
            await servicer.RemoveRecord(pb.RemoveRecordRequest(kind=kind, id=record_id), None)
        assert refused.value.reason is reason
