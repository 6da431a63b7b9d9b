"""What is set for programs: versions, history, and what is refused."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from google.protobuf.struct_pb2 import Struct

from hub.config_reports import ConfigReports, Report
from hub.configurations import MAX_TARGETS, Configurations, TooManyConfigsError
from hub.domain import configuration as rules
from hub.domain.admission import AdmissionError
from hub.domain.catalog import Catalog, Change
from hub.domain.configuration import (
    ConfigTarget,
    Configuration,
    SecretError,
    UnknownVersionError,
    Version,
    admit_config_target,
    admit_values,
    with_version,
)
from hub.domain.state import ConflictError, StoreAwayError
from hub.messages.configurations import values_from
from hub.messages.entries import entry_to
from hub.registry import NotRegisteredError
from hub.store.memory import MemoryStore
from hub.store.replica import Replica
from hub.streams import Bell
from tests.support.entries import record
from tests.unit.hub.several import CuttableStore
from tests.unit.hub.test_traffic import Contended

AGENTS, DESK = ConfigTarget("pc-agent"), ConfigTarget("pc-agent", "desk-1")


class World:
    """A hub's documents over a store."""

    def __init__(self) -> None:
        self.store = Contended()
        self.replica = Replica("hub-1", self.store, Catalog(100), Bell())
        self.now = 1_000
        self.documents = Configurations(self.replica, lambda: self.now)

    async def put(self, target: ConfigTarget, expected: int | None = None, **values: Any) -> Version:
        return await self.documents.put(target, values, "calmer", "ann", expected)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    async with asyncio.TaskGroup() as tasks:
        following = tasks.create_task(made.replica.run())
        await made.replica.loaded()
        yield made
        following.cancel()


async def test_an_instance_s_value_wins_over_its_service_s(world: World) -> None:
    """And the revision rises with each change of either."""
    assert world.documents.effective(DESK).revision == 0
    await world.put(AGENTS, spread=30, symbols=["EURUSD"])
    first = world.documents.effective(DESK)
    assert (first.values, first.of_instance) == ({"spread": 30, "symbols": ["EURUSD"]}, None)
    await world.put(DESK, spread=10)
    second = world.documents.effective(DESK)
    assert second.values == {"spread": 10, "symbols": ["EURUSD"]}
    await world.put(AGENTS, spread=40)
    assert world.documents.effective(DESK).values == {"spread": 10}
    assert world.documents.effective(AGENTS).values == {"spread": 40}
    assert first.revision < second.revision < world.documents.effective(DESK).revision


async def test_every_change_is_a_version_with_who_why_and_when(world: World) -> None:
    """The same values again are none; true is another value than 1."""
    await world.put(AGENTS, spread=1)
    world.now = 2_000
    assert await world.put(AGENTS, spread=1) == Version(1, {"spread": 1}, "calmer", "ann", 1_000)
    assert (await world.put(AGENTS, spread=True)).number == 2
    assert [version.changed_unix_ms for version in world.documents.history(AGENTS)] == [2_000, 1_000]


async def test_of_two_people_who_change_one_version_the_second_is_told_of_the_first(world: World) -> None:
    """With the version it is at; who repeats a write that got through gets its answer again."""
    await world.put(AGENTS, 0, spread=1)
    assert (await world.put(AGENTS, 0, spread=1)).number == 1
    with pytest.raises(ConflictError, match="changed by ann meanwhile, and is at version 1"):
        await world.put(AGENTS, 0, spread=2)
    assert (await world.put(AGENTS, 1, spread=2)).number == 2


async def test_another_hub_s_write_in_between_is_built_upon(world: World) -> None:
    """Unless the writer said what it had seen."""
    world.store.losses = 2
    assert (await world.put(AGENTS, spread=1)).number == 1
    world.store.losses = 1
    with pytest.raises(ConflictError):
        await world.put(AGENTS, 1, spread=2)


async def test_going_back_makes_a_version_of_its_own(world: World) -> None:
    """The history goes on; what is not held can not be gone back to."""
    for spread in (1, 2):
        await world.put(AGENTS, spread=spread)
    back = await world.documents.roll_back(AGENTS, 1, "too tight", "bob", 2)
    assert (back.number, back.values, back.rolled_back_to, back.by) == (3, {"spread": 1}, 1, "bob")
    for number in (0, 4):
        with pytest.raises(UnknownVersionError):
            await world.documents.roll_back(AGENTS, number, "too tight", "bob")
    with pytest.raises(UnknownVersionError, match="no document yet"):
        await world.documents.roll_back(DESK, 1, "too tight", "bob")


async def test_while_the_store_is_away_nothing_is_written_and_all_is_answered() -> None:
    """As it was known."""
    async with asyncio.TaskGroup() as tasks:
        store = CuttableStore(MemoryStore())
        replica = Replica("hub-1", store, Catalog(100), Bell())
        following = tasks.create_task(replica.run())
        await replica.loaded()
        documents = Configurations(replica)
        await documents.put(AGENTS, {"spread": 1}, "calmer", "ann")
        store.away = True
        with pytest.raises(StoreAwayError):
            await documents.put(AGENTS, {"spread": 2}, "calmer", "ann")
        assert documents.effective(DESK).values == {"spread": 1}
        following.cancel()


async def test_who_follows_a_document_is_not_woken_by_instances(world: World) -> None:
    """Ten thousand may follow, and as many come and go."""
    with world.replica.configured.listening() as ear:
        await world.replica.put(record("desk-1"), 0)
        assert not ear.is_set()
        await world.put(AGENTS, spread=1)
        assert ear.is_set()


async def test_what_is_deleted_is_forgotten_and_watchers_see_another_revision(world: World) -> None:
    """The service's values count for the instance again; deleting again does nothing."""
    await world.put(AGENTS, spread=1)
    await world.put(DESK, spread=2)
    before = world.documents.effective(DESK)
    assert await world.documents.delete(DESK, "sold", "ann") == before.of_instance
    after = world.documents.effective(DESK)
    assert (after.values, after.of_instance) == ({"spread": 1}, None)
    assert after.revision not in (0, before.revision)
    assert await world.documents.delete(DESK, "sold", "ann") is None
    assert (await world.put(DESK, spread=3)).number == 1


async def test_targets_are_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that there are can be changed still."""
    assert MAX_TARGETS == 1_000
    monkeypatch.setattr("hub.configurations.MAX_TARGETS", 1)
    await world.put(AGENTS, spread=1)
    with pytest.raises(TooManyConfigsError):
        await world.put(DESK, spread=1)
    await world.put(AGENTS, spread=2)


async def test_who_changes_something_says_so_and_why(world: World) -> None:
    """Refused without."""
    for reason, by in (("", "ann"), ("calmer", " ")):
        with pytest.raises(AdmissionError, match="is empty"):
            await world.documents.put(AGENTS, {}, reason, by)


def test_old_versions_go_when_there_is_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """By number and by size; the newest stays."""
    held: Configuration | None = None
    for number in range(1, rules.MAX_VERSIONS + 3):
        held = with_version(held, AGENTS, Version(number, {"n": number}, "", "", 0))
    assert held is not None
    assert [held.versions[0].number, held.newest.number] == [3, rules.MAX_VERSIONS + 2]
    monkeypatch.setattr(rules, "MAX_HELD_BYTES", 20)
    held = with_version(held, AGENTS, Version(99, {"n": 99}, "", "", 0))
    assert [version.number for version in held.versions] == [52, 99]
    with pytest.raises(UnknownVersionError, match="held are 52 to 99"):
        held.version(1)


def test_a_whole_history_fits_a_message_of_nats() -> None:
    """Also of what takes most room on the wire: numbers of one digit."""
    values = {"v": [1] * 8_180}
    admit_values(values)
    held: Configuration | None = None
    for number in range(10):
        held = with_version(held, AGENTS, Version(number, values, "why " * 256, "who " * 256, 0))
    assert held is not None
    assert 1 < len(held.versions) < 10
    assert len(entry_to(held)) < 1_000_000


@pytest.mark.parametrize(
    "values",
    [
        {"password": "x"},
        {"password_file": "/somewhere"},
        {"broker": {"apiKey": "x"}},
        {"url": "postgres://suho:hidden@db/suho"},
        {"urls": ["nats://a", "nats://u:hidden@b"]},
        {"pem": "-----BEGIN PRIVATE KEY-----"},
    ],
    ids=str,
)
def test_what_looks_like_a_secret_is_refused_and_not_repeated(values: dict[str, Any]) -> None:
    """By its name, at any depth, and by its text."""
    with pytest.raises(SecretError, match="looks like a secret") as refused:
        admit_values(values)
    assert "hidden" not in str(refused.value)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"Spread": 1}, "'Spread': 1-64 lower-case"),
        ({f"v{n}": n for n in range(129)}, "129 values"),
        ({"v": "x" * 20_000}, "take 20008 bytes"),
        ({"v": [[[[[[[[[[1]]]]]]]]]]}, "nested more than 8 deep"),
    ],
    ids=["name", "many", "large", "deep"],
)
def test_documents_are_bounded(values: dict[str, Any], sentence: str) -> None:
    """The sentence names the value."""
    with pytest.raises(AdmissionError, match=sentence):
        admit_values(values)


@pytest.mark.parametrize("target", [ConfigTarget(""), ConfigTarget("A"), ConfigTarget("a", "b/c")], ids=str)
def test_a_target_is_a_service_or_an_instance_of_one(target: ConfigTarget) -> None:
    """By the names that can be registered."""
    with pytest.raises(AdmissionError):
        admit_config_target(target)


def test_whole_numbers_stay_whole_and_what_is_no_number_is_refused() -> None:
    """The wire knows doubles only."""
    struct = Struct()
    struct.update({"whole": 3, "share": 0.5, "big": 2.0**60, "on": True})
    read = values_from(struct)
    assert read == {"whole": 3, "share": 0.5, "big": 2.0**60, "on": True}
    assert [(name, type(value)) for name, value in read.items()] == [
        ("big", float),
        ("on", bool),
        ("share", float),
        ("whole", int),
    ]
    for wrong in (float("nan"), float("inf"), None):
        struct["whole"] = [wrong]
        with pytest.raises(AdmissionError, match="whole is"):
            admit_values(values_from(struct))


def test_reports_are_held_of_registered_instances_only() -> None:
    """The newest of each; it is forgotten when the instance leaves."""
    catalog = Catalog(10)
    reports = ConfigReports(catalog, lambda: 5)
    with pytest.raises(NotRegisteredError):
        reports.take(Report(DESK))
    instance = record("desk-1").instance
    catalog.apply(1, [Change(1, instance, removed=False)])
    reports.take(Report(DESK, 1))
    reports.take(Report(DESK, 2, refusal="no", notes={"idle_ms": "at the next start"}))
    assert [(one.service_version, one.refusal, one.told_unix_ms) for one in reports.all()] == [(2, "no", 5)]
    for wrong in (Report(AGENTS), Report(DESK, refusal="x" * 2_000)):
        with pytest.raises(AdmissionError):
            reports.take(wrong)
    catalog.apply(2, [Change(2, instance, removed=True)])
    assert reports.all() == []
