"""A hub probes what it owns: verdicts come soon, rarely by mistake, and are written only when they change."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import pytest

from hub.domain.catalog import Catalog
from hub.domain.flapping import Damping
from hub.domain.health import Health, Probe, ProbeKind, Verdict
from hub.domain.instance import Address, Instance
from hub.domain.probing import ProbeTerms, SelfDoubt
from hub.domain.state import Expiry, Key, Record
from hub.domain.status import Status
from hub.health.history import MemoryHistory
from hub.health.probing import Prober
from hub.store.memory import MemoryStore
from hub.store.replica import Replica
from hub.streams import Bell
from tests.support.misbehaving import saying, silent, tcp_server
from tests.support.waiting import eventually, free_port

pytestmark = pytest.mark.integration

TWICE = Damping(half_life_s=60, suppress_above=1.2, reuse_below=1.0)
"""Who falls a second time soon after the first is flapping."""

QUICK = ProbeTerms(interval_s=0.1, timeout_s=5, retry_s=0.02, failing_s=0.05, first_s=0.02, damping=TWICE)


@dataclass
class Rig:
    """A prober over a store of its own; verdicts are written as a registry writes them."""

    replica: Replica
    history: MemoryHistory
    judged: list[tuple[str, Health]]
    prober: Prober | None = None
    skipped_s: float = 0.0
    """By so much its clock is ahead."""

    async def judge(self, instance_id: str, health: Health) -> None:
        self.judged.append((instance_id, health))
        found = self.replica.record(instance_id)
        if found is not None:
            await self.replica.put(replace(found[1], health=health), found[0])

    async def put(self, record: Record) -> None:
        found = self.replica.record(record.instance.id)
        await self.replica.put(record, found[0] if found else 0)

    async def remove(self, instance_id: str) -> None:
        found = self.replica.record(instance_id)
        assert found is not None
        await self.replica.remove(Key("instance", instance_id), found[0])

    def record(self, instance_id: str = "echo-1") -> Record:
        found = self.replica.record(instance_id)
        assert found is not None
        return found[1]

    def knows(self, instance_id: str) -> Status:
        """What the prober has heard of its status."""
        assert self.prober is not None
        return self.prober._probed[instance_id].record.instance.status

    def verdict(self, instance_id: str = "echo-1") -> Verdict:
        return self.record(instance_id).health.verdict

    def verdicts(self, instance_id: str = "echo-1") -> list[str]:
        return [health.verdict.value for judged, health in self.judged if judged == instance_id]


@asynccontextmanager
async def probing(terms: ProbeTerms = QUICK) -> AsyncIterator[Rig]:
    news = Bell()
    replica = Replica("hub-1", MemoryStore(), Catalog(1_000), news)
    rig = Rig(replica, MemoryHistory(), [])
    async with asyncio.TaskGroup() as tasks:
        following = tasks.create_task(replica.run())
        await replica.loaded()
        clock = lambda: time.monotonic() + rig.skipped_s  # noqa: E731
        rig.prober = Prober("hub-1", replica, news, rig, rig.history, terms, clock)
        running = tasks.create_task(rig.prober.run())
        yield rig
        running.cancel()
        following.cancel()


def registered(port: int, instance_id: str = "echo-1", status: Status = Status.UP, owner: str = "hub-1") -> Record:
    probe = Probe(ProbeKind.REDIS)
    address = Address("redis", "127.0.0.1", port, ip="127.0.0.1")
    instance = Instance(instance_id, "echo", addresses=(address,), status=status, probe=probe)
    return Record(instance, b"one", owner)


@dataclass
class Switch:
    """A server that is well, or not."""

    well: bool = True
    asked: int = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.asked += 1
        await (saying(b"+PONG\r\n" if self.well else b"-ERR broken\r\n"))(reader, writer)


async def test_a_verdict_is_written_when_it_changes_and_only_then() -> None:
    """Passing at once; failing and passing again after some outcomes in a row; the history has the spans."""
    switch = Switch()
    async with tcp_server(switch) as port, probing() as rig:
        await rig.put(registered(port))
        await eventually(lambda: rig.verdict() is Verdict.PASSING)
        await eventually(lambda: switch.asked >= 4)
        assert rig.verdicts() == ["PASSING"]
        switch.well = False
        await eventually(lambda: rig.verdict() is Verdict.FAILING)
        assert rig.record().health.last_error == "it answered PING with '-ERR broken'"
        shown = rig.replica.catalog.get("echo-1")
        assert shown is not None
        assert (shown.status, shown.doubted) == (Status.DOWN, True)
        switch.well = True
        await eventually(lambda: rig.verdict() is Verdict.PASSING)
        assert rig.verdicts() == ["PASSING", "FAILING", "PASSING"]
        spans = await rig.history.read("echo-1", 0)
        assert [(span.failed, span.probes >= span.failed) for span in spans[:2]] == [(0, True), (3, True)]
        assert spans[1].last_error == "it answered PING with '-ERR broken'"


async def test_who_does_not_say_that_it_is_up_may_fail() -> None:
    """A starting one is only told why it is not there yet; a draining one keeps its verdict."""
    port = free_port()
    async with probing() as rig:
        await rig.put(registered(port, status=Status.STARTING))
        await eventually(lambda: rig.record().health.last_error == f"nothing listens at 127.0.0.1:{port}")
        switch = Switch()
        async with tcp_server(switch) as other:
            draining = registered(other, "echo-2")
            await rig.put(draining)
            await eventually(lambda: rig.verdict("echo-2") is Verdict.PASSING)
            health = rig.record("echo-2").health
            await rig.put(replace(draining, instance=replace(draining.instance, status=Status.DRAINING), health=health))
            await eventually(lambda: rig.knows("echo-2") is Status.DRAINING)
            switch.well, switch.asked = False, 0
            await eventually(lambda: switch.asked >= 5)
        assert rig.verdict() is Verdict.UNKNOWN
        assert rig.verdicts("echo-2") == ["PASSING"]
        assert rig.verdicts() == ["UNKNOWN"]


async def test_only_the_owner_probes() -> None:
    """What another hub owns is its own to ask; what it gives over is asked from then on, the verdict standing."""
    switch = Switch()
    async with tcp_server(switch) as port, probing() as rig:
        await rig.put(replace(registered(port, owner="hub-2"), health=Health(Verdict.FAILING, "was down", 7)))
        await rig.put(registered(port, "echo-2"))
        await eventually(lambda: rig.verdict("echo-2") is Verdict.PASSING)
        assert rig.verdicts() == []
        await rig.put(replace(rig.record(), owner="hub-1"))
        await eventually(lambda: rig.verdict() is Verdict.PASSING)
        assert rig.verdicts() == ["PASSING"]


async def test_who_loses_its_lease_again_and_again_is_flapping_until_it_stays() -> None:
    """Leaving politely is not held against anybody."""
    async with tcp_server(Switch()) as port, probing(replace(QUICK, damping=Damping())) as rig:
        polite, rude = registered(port, "polite"), registered(port, "rude")
        await rig.put(polite)
        for number in range(3):
            await rig.put(replace(rude, token_digest=b"%d" % number))
            await eventually(lambda: rig.verdict("rude") is Verdict.PASSING)
            await rig.put(replace(rig.record("rude"), expiry=Expiry("lost", silent=False, unix_ms=1)))
            await rig.remove("polite")
            await rig.put(replace(polite, token_digest=b"%d" % number))
            await eventually(lambda: rig.verdict("polite") is Verdict.PASSING)
        await rig.put(replace(rude, token_digest=b"again"))
        await eventually(lambda: rig.verdict("rude") is Verdict.FLAPPING)
        shown = rig.replica.catalog.get("rude")
        assert shown is not None
        assert (shown.status, shown.doubted) == (Status.DOWN, True)
        assert shown.health.held_until_unix_ms > shown.health.since_unix_ms
        rig.skipped_s = 300
        await eventually(lambda: rig.verdict("rude") is Verdict.PASSING)
        assert "FLAPPING" not in rig.verdicts("polite")


async def test_one_whose_probes_come_and_go_is_flapping_too() -> None:
    """Up and down and up and down."""
    switch = Switch()
    async with tcp_server(switch) as port, probing() as rig:
        await rig.put(registered(port))
        for _ in range(2):
            switch.well = True
            await eventually(lambda: rig.verdict() in (Verdict.PASSING, Verdict.FLAPPING))
            switch.well = False
            await eventually(lambda: rig.verdict() is Verdict.FAILING)
        switch.well = True
        await eventually(lambda: rig.verdict() is Verdict.FLAPPING)


async def test_when_most_fail_at_once_the_hub_doubts_itself() -> None:
    """It says so for as long as it lasts, and nobody is called flapping for it."""
    # They fall together when it is within two intervals.
    terms = replace(QUICK, interval_s=0.4, doubt=SelfDoubt(from_instances=4))
    switch = Switch()
    async with tcp_server(switch) as port, probing(terms) as rig:
        assert rig.prober is not None
        for number in range(5):
            await rig.put(registered(port, f"echo-{number}"))
        for _ in range(3):
            switch.well = True
            await eventually(lambda: all(rig.verdict(f"echo-{n}") is Verdict.PASSING for n in range(5)))
            await eventually(lambda: rig.prober and not rig.prober.doubts_itself)
            switch.well = False
            await eventually(lambda: rig.prober and rig.prober.doubts_itself)
            await eventually(lambda: all(rig.verdict(f"echo-{n}") is Verdict.FAILING for n in range(5)))
        assert "FLAPPING" not in {verdict for n in range(5) for verdict in rig.verdicts(f"echo-{n}")}


def _ids(count: int) -> Iterator[str]:
    return (f"echo-{number}" for number in range(count))


async def test_many_are_asked_side_by_side_within_a_bound() -> None:
    """Silent ones do not keep the others waiting, and no more than the bound are asked at once."""
    at_once = most = 0

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0.02)
        at_once -= 1
        await saying(b"+PONG\r\n")(reader, writer)

    terms = replace(QUICK, interval_s=5, timeout_s=5, concurrency=8)
    async with tcp_server(slow) as port, tcp_server(silent) as deaf, probing(terms) as rig:
        await rig.put(registered(deaf, "deaf"))
        for instance_id in _ids(100):
            await rig.put(registered(port, instance_id))
        await eventually(lambda: all(rig.verdict(one) is Verdict.PASSING for one in _ids(100)))
        assert 4 <= most <= 8
