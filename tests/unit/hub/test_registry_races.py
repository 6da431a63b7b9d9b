"""What crosses on the way: a claim with a claim, a farewell with a write, an expiry with an outage."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from suho.hub.v1 import registry_pb2 as pb

from hub import registry as module
from hub.discovery import Discovery
from hub.domain.drain import Drain, Target
from hub.domain.health import Health, Verdict
from hub.domain.lease import Hold, IdTakenError
from hub.domain.state import StoreAwayError
from hub.domain.status import Status
from hub.servicers.sessions import Sessions
from hub.streams import Bell
from tests.unit.hub.several import OTHER_TOKEN, TOKEN, Hubs, OneHub, hubs, instance


@pytest_asyncio.fixture
async def world() -> AsyncIterator[Hubs]:
    async with hubs() as made:
        yield made


@pytest_asyncio.fixture
async def two(world: Hubs) -> tuple[OneHub, OneHub]:
    made = await world.start("hub-1"), await world.start("hub-2")
    await world.pass_time(1)
    return made


@pytest.mark.parametrize("elsewhere", [False, True])
async def test_who_comes_while_another_hub_is_asked_is_not_ousted(
    world: Hubs, two: tuple[OneHub, OneHub], monkeypatch: pytest.MonkeyPatch, elsewhere: bool
) -> None:
    """Two processes reach for the id of a third that is gone: what counts is who stands when the answer is there."""
    first, second = two
    third = await world.start("hub-3")
    await third.registry.register(instance(), "token-of-the-third")
    await world.settle()
    third.awake = False
    ask = first.peers.stream_stands
    asked = False

    async def slow_answer(hub_id: str, instance_id: str) -> bool:
        nonlocal asked
        if not asked:
            asked = True
            await (second if elsewhere else first).registry.register(instance(), TOKEN)
            await world.settle()
        return await ask(hub_id, instance_id)

    monkeypatch.setattr(first.peers, "stream_stands", slow_answer)
    with pytest.raises(IdTakenError):
        await first.registry.register(instance(), OTHER_TOKEN)
    assert (second if elsewhere else first).registry.stands("echo-1")


async def test_a_farewell_sticks_against_a_write_under_way(world: Hubs, two: tuple[OneHub, OneHub]) -> None:
    """It left at another hub in the moment in which its own one writes what the probes say."""
    first, second = two
    await first.registry.register(instance(), TOKEN, Hold.CALLS)
    await world.settle()
    await asyncio.gather(
        second.registry.leave("echo-1", TOKEN, "done"),
        first.registry.judge("echo-1", Health(Verdict.FAILING, "refused")),
    )
    await world.pass_time(2)
    assert (first.status(), second.status()) == (None, None)
    assert (first.registry.held, second.registry.held) == (0, 0)


async def test_an_expiry_that_could_not_be_written_is_judged_anew(world: Hubs, two: tuple[OneHub, OneHub]) -> None:
    """NATS goes while the grace runs, and the session stands with another hub that can not write either."""
    first, second = two
    holder = await first.registry.register(instance(), TOKEN)
    await world.settle()
    first.store.away = second.store.away = True
    first.registry.broken(holder)
    moved = await second.registry.register(instance(), TOKEN)
    await world.pass_time(60, (second, moved))
    first.store.away = False
    seen = first.replica.catalog.revision
    await world.pass_time(3, (second, moved))
    second.store.away = False
    await world.pass_time(3, (second, moved))
    assert (first.status(), first.owner()) == (Status.UP, "hub-2")
    assert second.registry.holds(moved)
    assert [change.instance.status for change in first.replica.catalog.changes_after(seen)] == [Status.UP]


async def test_an_expiry_that_was_written_unheard_is_taken_back_by_a_sign_of_life(
    world: Hubs, two: tuple[OneHub, OneHub], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store answered nothing, and yet has it."""
    first, _ = two
    silent = await first.registry.register(instance(), TOKEN)
    put = first.store.put

    async def unanswered(*args: object) -> int:
        await put(*args)  # type: ignore[arg-type]
        raise StoreAwayError("no answer")

    await world.pass_time(14)
    monkeypatch.setattr(first.store, "put", unanswered)
    await world.pass_time(1)
    monkeypatch.undo()
    await first.registry.hear(silent)
    await world.pass_time(2, (first, silent))
    assert first.status() is Status.UP


async def test_a_hub_does_not_claim_afterwards_what_came_and_went_while_it_was_detached(
    world: Hubs, two: tuple[OneHub, OneHub]
) -> None:
    """Its takeover was never written, and the session is back with its owner: that is left in peace."""
    first, second = two
    await first.registry.register(instance(), TOKEN)
    await world.settle()
    second.store.away = True
    await world.pass_time(10)
    visiting = await second.registry.register(instance(), TOKEN)
    second.registry.broken(visiting)
    home = await first.registry.register(instance(), TOKEN)
    second.store.away = False
    await world.pass_time(5, (first, home))
    assert first.registry.holds(home)
    assert (first.owner(), second.registry.held) == ("hub-1", 0)


async def test_a_hub_whose_name_somebody_took_goes_on(world: Hubs, two: tuple[OneHub, OneHub]) -> None:
    """It is not seen among the instances, and that is all."""
    first, second = two
    await second.registry.register(instance("hub-1"), OTHER_TOKEN)
    await world.settle()
    await first.registry.register_itself(instance("hub-1"), TOKEN)
    assert second.registry.stands("hub-1")


async def test_who_expired_makes_room_for_the_living(world: Hubs) -> None:
    """Processes that came and went under ever new names keep nobody out."""
    one = await world.start("hub-1", max_instances=5)
    for number in range(5):
        holder = await one.registry.register(instance(f"echo-{number}"), TOKEN)
        one.registry.broken(holder)
    await world.pass_time(5)
    await one.registry.register(instance("echo-9"), TOKEN)
    assert one.status("echo-9") is Status.UP


async def test_an_order_is_told_by_a_hub_that_can_not_take_the_session_over_yet(
    world: Hubs, two: tuple[OneHub, OneHub]
) -> None:
    """Who is drained and comes to a detached hub must not believe that it is not."""
    first, second = two
    await first.registry.register(instance(), TOKEN)
    await first.replica.put(Drain(Target("instance", "echo-1"), Status.OUT_OF_SERVICE, "repair", "ann", 0), 0)
    await world.settle()
    second.store.away = True
    await world.pass_time(10)

    async def requests() -> AsyncIterator[pb.SessionRequest]:
        made = pb.Instance(id="echo-1", service="echo", status=pb.INSTANCE_STATUS_UP)
        yield pb.SessionRequest(register=pb.Register(instance=made, token=TOKEN))
        await asyncio.sleep(0)
        yield pb.SessionRequest(heartbeat=pb.Heartbeat())
        await asyncio.Event().wait()

    discovery = Discovery(second.replica, Bell(), Bell(), 0)
    async with asyncio.TaskGroup() as tasks:
        session = Sessions(second.registry, discovery, tasks).serve(requests())
        async with asyncio.timeout(30):
            said = [await anext(session) for _ in range(3)]
        await session.aclose()  # type: ignore[attr-defined]
    assert [response.WhichOneof("kind") for response in said] == ["registered", "notice", "heartbeat_ack"]
    assert said[1].notice.status == pb.INSTANCE_STATUS_OUT_OF_SERVICE


async def test_a_sweep_does_not_try_a_thousand_writes_where_one_fails(world: Hubs, two: tuple[OneHub, OneHub]) -> None:
    """Each would take its time: a store that refuses every write must not keep the hub from its other work."""
    first, _ = two
    for number in range(200):
        await first.registry.register(instance(f"echo-{number}"), TOKEN)
    first.store.away = True
    for lease in first.registry._leases:
        lease.judge(Health(Verdict.FAILING, "refused"))
    await first.registry.sweep()
    assert 0 < first.store.refused < 100


async def test_a_store_that_does_not_answer_keeps_no_hub_from_stopping(
    world: Hubs, two: tuple[OneHub, OneHub], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its record runs out by itself."""
    first, _ = two
    await first.registry.register_itself(instance("hub-1", "hub"), TOKEN)
    monkeypatch.setattr(module, "_FAREWELL_S", 0.02)

    async def silent(*_: object) -> int:
        return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]

    monkeypatch.setattr(first.store, "remove", silent)
    async with asyncio.timeout(30):
        await first.registry.leave_itself("hub-1", TOKEN)


async def test_who_was_missed_by_its_last_hub_while_it_stood_with_another_goes_on(
    world: Hubs, two: tuple[OneHub, OneHub]
) -> None:
    """NATS was away for less than makes a hub detached: the older hub wrote first, and the session is not ended."""
    first, second = two
    holder = await first.registry.register(instance(), TOKEN)
    await world.settle()
    first.store.away = second.store.away = True
    first.registry.broken(holder)
    moved = await second.registry.register(instance(), TOKEN)
    await world.pass_time(4, (second, moved))
    first.store.away = second.store.away = False
    await world.pass_time(3, (second, moved))
    assert second.registry.holds(moved)
    assert (first.status(), first.owner()) == (Status.UP, "hub-2")
