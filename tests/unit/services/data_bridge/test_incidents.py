"""Incidents on their way to the database."""

import asyncio

import pytest
from suho.database.v1 import tick_service_pb2 as pb

import services.data_bridge.incidents
from mesh.errors import MeshError, Reason
from services.data_bridge.domain.progress import SymbolKey
from services.data_bridge.incidents import TickIncidents
from tests.support import eventually

KEY = SymbolKey("twin-1", "EURUSD")


class Store:
    """Takes incidents, or raises what the test sets."""

    def __init__(self) -> None:
        self.taken: list[pb.TickIncident] = []
        self.failure: MeshError | None = None
        self.tried = 0

    async def report(self, incident: pb.TickIncident) -> None:
        self.tried += 1
        if self.failure:
            raise self.failure
        self.taken.append(incident)


async def test_the_same_incident_is_reported_as_one() -> None:
    """Its id comes from kind, symbol and range; it says who noticed it."""
    store = Store()
    incidents = TickIncidents(store, "bridge-1")
    for detail in ("first", "again"):
        await incidents.report("HOLE", KEY, 1, 2, 3, detail)
    await incidents.report("HOLE", KEY, 1, 3, 3, "another range")
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(incidents.run())
        await eventually(lambda: len(store.taken) == 2)
        running.cancel()
    again, other = store.taken
    assert (again.detail, again.reporter, again.symbol.symbol) == ("again", "bridge-1", "EURUSD")
    assert again.id != other.id


async def test_incidents_wait_for_the_database_and_no_more_than_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest are forgotten, the rest arrives when it is back."""
    monkeypatch.setattr(services.data_bridge.incidents, "_MOST_WAITING", 3)
    store = Store()
    store.failure = MeshError(Reason.UNREACHABLE, "away")
    incidents = TickIncidents(store, "bridge-1")
    async with asyncio.TaskGroup() as tasks:
        for begin in range(5):
            await incidents.report("HOLE", KEY, begin, 9, 3, "")
        running = tasks.create_task(incidents.run())
        await eventually(lambda: store.tried)
        store.failure = None
        await eventually(lambda: len(store.taken) == 3)
        running.cancel()
    assert {incident.from_msc for incident in store.taken} == {2, 3, 4}


async def test_what_the_database_refuses_is_left_behind() -> None:
    """It would be refused for ever; what comes after it is not held up."""
    store = Store()
    store.failure = MeshError(Reason.INVALID_ARGUMENT, "no")
    incidents = TickIncidents(store, "bridge-1")
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(incidents.run())
        await incidents.report("HOLE", KEY, 1, 2, 3, "")
        await eventually(lambda: store.tried)
        store.failure = None
        await incidents.report("HOLE", KEY, 5, 6, 3, "")
        await eventually(lambda: store.taken)
        running.cancel()
    assert [incident.from_msc for incident in store.taken] == [5]
