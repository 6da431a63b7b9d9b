"""A day of health: what is told of instances, by whom, and how much of it is kept."""

from dataclasses import replace

import pytest
from suho.hub.v1 import registry_pb2 as pb

from hub.domain.catalog import Catalog, Change
from hub.domain.history import KEPT_OF_ONE, KEPT_S, HealthEvent, HistoryAwayError
from hub.domain.instance import Instance
from hub.domain.peers import Alone
from hub.domain.status import Status
from hub.health.chronicle import Chronicle
from hub.health.history import MemoryHistory
from hub.servicers.history import health_history
from hub.streams import Bell
from mesh.clock import unix_ms
from mesh.errors import MeshError, Reason

ECHO = Instance("echo-1", "echo", status=Status.STARTING, hub="hub-1")


class Others(Alone):
    """Hubs besides ours, of which some are gone."""

    def __init__(self) -> None:
        self.gone: set[str] = set()

    def is_gone(self, hub_id: str) -> bool:
        return hub_id in self.gone


class Told:
    """A history that only remembers what it was told."""

    def __init__(self) -> None:
        self.events: list[HealthEvent] = []

    def note(self, event: HealthEvent) -> None:
        self.events.append(event)

    async def read(self, instance_id: str, since_unix_ms: int) -> list[HealthEvent]:
        raise HistoryAwayError("NATS does not answer")

    def statuses(self) -> list[tuple[str, str]]:
        return [(event.status.value, event.reason) for event in self.events]


class Mesh:
    """A catalog that two hubs look at."""

    def __init__(self, history: int = 100) -> None:
        self.catalog = Catalog(history)
        self.others = Others()
        self.told = {hub_id: Told() for hub_id in ("hub-1", "hub-2")}
        self.chronicles = [
            Chronicle(hub_id, self.catalog, self.others, Bell(), told) for hub_id, told in self.told.items()
        ]

    def put(self, instance: Instance, *, removed: bool = False) -> None:
        revision = self.catalog.revision + 1
        self.catalog.apply(revision, [Change(revision, replace(instance, revision=revision), removed)])

    def tell(self) -> None:
        for chronicle in self.chronicles:
            chronicle.tell()


def test_every_change_of_status_is_told_once_by_the_instances_own_hub() -> None:
    """Not what else changes; a farewell, too, but not that an expired one is forgotten."""
    mesh = Mesh()
    mesh.put(ECHO)
    up = replace(ECHO, status=Status.UP)
    mesh.put(up)
    mesh.put(replace(up, weight=7))
    mesh.put(replace(up, status=Status.DOWN, status_reason="its probes fail"))
    mesh.put(up)
    mesh.put(up, removed=True)
    mesh.put(up)
    mesh.put(replace(up, status=Status.EXPIRED, status_reason="silent"))
    mesh.put(up, removed=True)
    mesh.tell()
    assert mesh.told["hub-1"].statuses() == [
        ("STARTING", ""),
        ("UP", ""),
        ("DOWN", "its probes fail"),
        ("UP", ""),
        ("DOWN", "it left"),
        ("UP", ""),
        ("EXPIRED", "silent"),
    ]
    assert mesh.told["hub-2"].events == []
    assert len({event.key for event in mesh.told["hub-1"].events}) == 7


def test_of_a_hub_that_is_gone_the_others_tell_under_the_same_key() -> None:
    """So that it is kept once."""
    mesh = Mesh()
    mesh.put(ECHO)
    mesh.tell()
    mesh.others.gone = {"hub-1"}
    mesh.put(replace(ECHO, status=Status.EXPIRED, status_reason="its hub went"))
    mesh.tell()
    keys = [[event.key for event in told.events] for told in mesh.told.values()]
    assert keys[0] == keys[1]
    assert mesh.told["hub-2"].statuses() == [("STARTING", ""), ("EXPIRED", "its hub went")]


def test_what_happened_while_a_dead_hub_was_not_missed_yet_is_told_when_it_is() -> None:
    """Once; not what is so old that the history could not tell it from what the dead one told."""
    mesh, now = Mesh(), 1_000.0
    told = Told()
    chronicle = Chronicle("hub-2", mesh.catalog, mesh.others, Bell(), told, lambda: now)
    mesh.put(ECHO)
    chronicle.tell()
    now += 100
    mesh.put(replace(ECHO, status=Status.DRAINING, status_reason="drained by alice"))
    chronicle.tell()
    now += 10
    assert told.events == []
    mesh.others.gone = {"hub-1"}
    for _ in range(2):
        chronicle.tell()
    assert told.statuses() == [("DRAINING", "drained by alice")]


def test_what_stood_before_a_hub_came_is_not_news() -> None:
    """Nor is anything lost when more happened than the catalog holds."""
    mesh = Mesh(history=2)
    mesh.put(ECHO)
    late = Told()
    chronicle = Chronicle("hub-1", mesh.catalog, mesh.others, Bell(), late)
    chronicle.tell()
    assert late.events == []
    for weight in range(1, 10):
        mesh.put(replace(ECHO, status=Status.UP, weight=weight))
    chronicle.tell()
    assert late.statuses() == [("UP", "")]


def event(instance_id: str, at_ms: int) -> HealthEvent:
    return HealthEvent(f"{instance_id}/{at_ms}", instance_id, at_ms, "hub-1", Status.UP, "")


async def test_a_day_is_kept_and_no_more() -> None:
    """From a time on, if one is asked for."""
    history, now = MemoryHistory(), unix_ms()
    for ago_s in (KEPT_S + 10, 60, 30):
        history.note(event("echo-1", now - ago_s * 1000))
    assert [item.unix_ms for item in await history.read("echo-1", 0)] == [now - 60_000, now - 30_000]
    assert [item.unix_ms for item in await history.read("echo-1", now - 30_000)] == [now - 30_000]
    assert await history.read("echo-2", 0) == []


async def test_memory_is_bounded_by_instance_and_in_all() -> None:
    """The oldest goes first; a noisy instance takes nothing from the others."""
    history, now = MemoryHistory(most=1_000), unix_ms()
    history.note(event("quiet", now))
    for number in range(KEPT_OF_ONE + 50):
        history.note(event("noisy", now - 5_000 + number))
    assert len(await history.read("noisy", 0)) == KEPT_OF_ONE
    assert len(await history.read("quiet", 0)) == 1
    for number in range(5_000):
        history.note(event(f"echo-{number}", now + number))
    assert len(await history.read("echo-4999", 0)) == 1
    assert await history.read("quiet", 0) == []
    assert sum(len(events) for events in history._kept.values()) <= 1_000


async def test_the_history_is_answered_or_it_is_said_why_not() -> None:
    """Of one that has left, too; nobody ever seen is NOT_FOUND; no answer of the store is UNAVAILABLE."""
    catalog, history = Catalog(10), MemoryHistory()
    history.note(event("echo-1", unix_ms()))
    request = pb.GetHealthHistoryRequest(instance_id="echo-1")
    response = await health_history(history, catalog, request)
    assert [item.status for item in response.events] == [pb.INSTANCE_STATUS_UP]
    later = pb.GetHealthHistoryRequest(instance_id="echo-1", since_unix_ms=unix_ms() + 60_000)
    assert not (await health_history(history, catalog, later)).events
    for asked, reason, kept in (
        ("ghost", Reason.UNKNOWN_INSTANCE, history),
        ("", Reason.INVALID_ARGUMENT, history),
        ("echo-1", Reason.STORE_AWAY, Told()),
    ):
        with pytest.raises(MeshError) as refused:
            await health_history(kept, catalog, pb.GetHealthHistoryRequest(instance_id=asked))
        assert refused.value.reason is reason
