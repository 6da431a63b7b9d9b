"""A stock gRPC client, with no line of this project, finds its way through `xds:///mesh`."""

import time
from contextlib import AsyncExitStack

import pytest

from hub.domain.topology import ENTRANCES
from tests.support import eventually
from tests.support.hub import Backend, RunningHub, instance, registered, run_backend, run_hub
from tests.support.plain_client import WHO, PlainClient, run_client

pytestmark = pytest.mark.integration


async def _add(stack: AsyncExitStack, hub: RunningHub, name: str) -> Backend:
    backend = await stack.enter_async_context(run_backend(name))
    await stack.enter_async_context(registered(hub.address, instance(name, port=backend.port)))
    return backend


async def _replies(client: PlainClient, number: int) -> set[str]:
    return {(await client.call())["reply"] for _ in range(number)}


async def test_calls_reach_every_instance_of_the_service_that_offers_them() -> None:
    """Calls are routed by gRPC service name and spread over the instances that are UP."""
    async with run_hub() as hub, run_client(hub.address) as client, AsyncExitStack() as stack:
        await _add(stack, hub, "echo-1")
        await _add(stack, hub, "echo-2")
        await eventually(lambda: _spread_over(client, {"echo-1", "echo-2"}))


async def _spread_over(client: PlainClient, names: set[str]) -> bool:
    return {(await client.call()).get("reply") for _ in range(4)} == names


@pytest.mark.parametrize("dependencies", [(), ("echo",)])
async def test_a_cold_client_fails_at_once_and_recovers_as_soon_as_the_service_registers(
    dependencies: tuple[str, ...],
) -> None:
    """Before: UNAVAILABLE without delay. Within 100 ms of registering: answered."""
    took_s: list[float] = []
    while len(took_s) < 2 and min(took_s, default=1) >= 0.75:  # the machine may stand still once
        took_s.append(await _recovery_s(dependencies))
    assert min(took_s) < 0.75, took_s  # design: 0.1, for a busy machine more; who is not told tries after 0.8 s


async def _recovery_s(dependencies: tuple[str, ...]) -> float:
    """How long a cold client's first answer takes after its service registered, and the one after it was gone."""
    async with run_hub() as hub, run_client(hub.address, dependencies) as client, run_backend("echo-1") as backend:
        refused = await client.call()
        assert (refused["ok"], refused["code"]) == (False, "UNAVAILABLE")
        assert refused["ms"] < 10_000  # without an answer of the hub's it is 15 s
        first_s = await _back_within_s(hub, client, backend)
        await eventually(lambda: _refused_for_want_of_endpoints(client))
        again_s = await _back_within_s(hub, client, backend)
    return max(first_s, again_s)


async def _back_within_s(hub: RunningHub, client: PlainClient, backend: Backend) -> float:
    async with registered(hub.address, instance("echo-1", port=backend.port)):
        start = time.perf_counter()
        await eventually(lambda: _answered(client), interval_s=0.002)
        return time.perf_counter() - start


async def _answered(client: PlainClient) -> bool:
    return bool((await client.call())["ok"])


async def _refused_for_want_of_endpoints(client: PlainClient) -> bool:
    outcome = await client.call()
    return not outcome["ok"] and "no" in outcome["details"] and outcome["ms"] < 1000


async def test_a_client_is_given_only_the_services_it_depends_on() -> None:
    """A call to a service that the node did not name has no route, and opens no connection."""
    async with run_hub() as hub, AsyncExitStack() as stack:
        backend = await _add(stack, hub, "echo-1")
        client = await stack.enter_async_context(run_client(hub.address, ("database",)))
        outcome = await client.call()
    assert outcome["code"] == "UNAVAILABLE"
    assert backend.calls == 0


async def test_draining_under_load_fails_no_call() -> None:
    """An instance leaves discovery, then stops: the load moves to its peer without an error."""
    async with run_hub() as hub, AsyncExitStack() as stack:
        staying = await _add(stack, hub, "echo-1")
        client = await stack.enter_async_context(run_client(hub.address))
        async with (
            run_backend("echo-2") as leaving,
            registered(hub.address, instance("echo-2", port=leaving.port)) as session,
        ):
            await eventually(lambda: _spread_over(client, {"echo-1", "echo-2"}))
            await client.ask("load", WHO, 8)
            await eventually(lambda: leaving.calls > 100)
            await session.drain()
            await eventually(lambda: _is_left_for(staying, leaving))
            assert await _is_left_for(staying, leaving)
        result = await client.ask("stop")
    assert result["errors"] == []
    assert set(result["by"]) == {"echo-1", "echo-2"}


async def _is_left_for(staying: Backend, leaving: Backend) -> bool:
    """Whether of a hundred calls and more none comes to who leaves."""
    calls, until = leaving.calls, staying.calls + 100
    await eventually(lambda: staying.calls >= until)
    return leaving.calls == calls


async def test_an_instance_that_leaves_is_not_called_any_more() -> None:
    """Deregistered: gone from the endpoints at once."""
    async with run_hub() as hub, AsyncExitStack() as stack:
        await _add(stack, hub, "echo-1")
        client = await stack.enter_async_context(run_client(hub.address))
        async with run_backend("echo-2") as leaving:
            async with registered(hub.address, instance("echo-2", port=leaving.port)):
                await eventually(lambda: _spread_over(client, {"echo-1", "echo-2"}))
            await eventually(lambda: _spread_over(client, {"echo-1"}))
            assert await _replies(client, 10) == {"echo-1"}


async def test_agents_lanes_are_one_connection_each_spread_over_the_bridges() -> None:
    """Each channel to an entrance picks one instance, at its published address, and not all the same."""
    bridge = ENTRANCES["agent-ticks"]
    async with run_hub() as hub, AsyncExitStack() as stack:
        for name in ("data-bridge-1", "data-bridge-2"):
            backend = await stack.enter_async_context(run_backend(name, bridge))
            made = instance(name, "data-bridge", 1, [bridge])
            made.addresses[0].published_host, made.addresses[0].published_port = "127.0.0.1", backend.port
            await stack.enter_async_context(registered(hub.address, made))
        client = await stack.enter_async_context(run_client(hub.address))
        await eventually(lambda: _lanes_answer(client, f"/{bridge}/Who"))
        result = await client.ask("lanes", "xds:///agent-ticks", f"/{bridge}/Who", 16)
        assert {reply.get("reply") for reply in result["replies"]} == {"data-bridge-1", "data-bridge-2"}
        absent = await client.ask("lanes", "xds:///agent-signals", "/x.Y/Z", 1)
        assert absent["replies"][0]["code"] == "UNAVAILABLE"


async def _lanes_answer(client: PlainClient, path: str) -> bool:
    result = await client.ask("lanes", "xds:///agent-ticks", path, 1)
    return all(reply["ok"] for reply in result["replies"])
