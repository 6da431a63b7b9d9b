"""What people set for programs, over two hubs that share a NATS, as watchers hear of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from suho.hub.v1 import config_pb2 as pb
from suho.hub.v1 import config_pb2_grpc

from compose.embedded.nats import Nats
from mesh.channel import direct_channel
from mesh.config import MeshSettings
from mesh.configuration import ConfigWatch, KeptConfig
from mesh.errors import MeshError, Reason
from mesh.session import HubSession, open_session
from mesh.structs import struct_of, values_of
from tests.support import eventually
from tests.support.hub import RunningHub, instance, run_hub

pytestmark = pytest.mark.integration

QUICK: dict[str, Any] = {"heartbeat_s": 0.2, "presence_s": 0.1, "detached_s": 0.5, "gone_s": 0.6}
DESK = pb.ConfigTarget(service="pc-agent", instance="desk-1")
AGENTS = pb.ConfigTarget(service="pc-agent")


@asynccontextmanager
async def config_of(hub: RunningHub) -> AsyncIterator["config_pb2_grpc.ConfigServiceAsyncStub"]:
    async with direct_channel([hub.address]) as channel:
        yield config_pb2_grpc.ConfigServiceStub(channel)


async def put(
    stub: "config_pb2_grpc.ConfigServiceAsyncStub", target: pb.ConfigTarget, **values: Any
) -> pb.ConfigVersion:
    request = pb.PutConfigRequest(target=target, values=struct_of(values), reason="calmer", by="ann")
    return (await stub.PutConfig(request, timeout=5)).config


@asynccontextmanager
async def watching(*hubs: str) -> AsyncIterator[tuple[HubSession, ConfigWatch]]:
    made = instance("desk-1", "pc-agent")
    async with open_session(MeshSettings(instance=made.id, hubs=hubs), made) as session:
        watch = ConfigWatch(session, "pc-agent", "desk-1")
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(watch.run())
            try:
                async with asyncio.timeout(60):
                    yield session, watch
            finally:
                running.cancel()


async def test_a_watcher_is_told_by_any_hub_and_goes_on_at_the_next(nats_engine: Nats) -> None:
    """What one hub was given another tells; when one stops its watcher loses nothing; versions outlive all hubs."""
    settings = {**QUICK, "nats_url": nats_engine.url}
    async with (
        run_hub(instance="hub-1", **settings) as first,
        run_hub(instance="hub-2", **settings) as second,
        config_of(first) as config,
        watching(second.address, first.address) as (session, watch),
    ):
        await put(config, AGENTS, max_spread_points=30, symbols=["EURUSD"])
        kept = await watch.newer(None)
        assert kept.values == {"max_spread_points": 30, "symbols": ["EURUSD"]}
        assert (kept.of_service.version, kept.of_service.by, kept.of_instance.version) == (1, "ann", 0)
        watch.report(1, 0, notes={"idle_ms": "at the next start"})
        before = session.hub
        (second if before == second.address else first).stop.set()
        await eventually(lambda: session.hub not in ("", before))
        left = first if session.hub == first.address else second
        async with config_of(left) as other:
            await eventually(lambda: _reported(other, 1))
            await put(other, DESK, max_spread_points=10)
            assert (await watch.newer(kept)).values["max_spread_points"] == 10
    async with run_hub(instance="hub-3", **settings) as third, config_of(third) as config:
        answer = await config.GetConfig(pb.GetConfigRequest(target=DESK), timeout=5)
        assert values_of(answer.effective.values) == {"max_spread_points": 10, "symbols": ["EURUSD"]}
        listed = (await config.ListConfigs(pb.ListConfigsRequest(), timeout=5)).configs
        assert [(one.target.instance, one.newest.version, one.values) for one in listed] == [
            ("", 1, 2),
            ("desk-1", 1, 1),
        ]


async def _reported(config: "config_pb2_grpc.ConfigServiceAsyncStub", version: int) -> bool:
    reports = (await config.ListConfigReports(pb.ListConfigReportsRequest(), timeout=5)).reports
    return [(one.target.instance, one.service_version, dict(one.notes)) for one in reports] == [
        ("desk-1", version, {"idle_ms": "at the next start"})
    ]


async def test_refusals_bear_reasons_and_watches_begin_where_they_were() -> None:
    """A watcher that knows what counts hears nothing until it changes; everything here by a hub in memory."""
    async with run_hub() as hub, config_of(hub) as config:
        for _ in range(2):
            made = await put(config, AGENTS, spread=1)
        assert made.version == 1
        await put(config, AGENTS, spread=2)
        effective = (await config.GetConfig(pb.GetConfigRequest(target=DESK), timeout=5)).effective
        watch: Any = config.WatchConfig(pb.WatchConfigRequest(target=DESK, known_revision=effective.revision))
        back = pb.RollbackConfigRequest(target=AGENTS, version=1, reason="too wide", by="bob", expected_version=2)
        assert (await config.RollbackConfig(back, timeout=5)).config.version == 3
        told = (await watch.read()).effective
        assert (values_of(told.values), told.of_service.version, told.of_service.rolled_back_to) == (
            {"spread": 1},
            3,
            1,
        )
        history = (await config.GetConfigHistory(pb.GetConfigHistoryRequest(target=AGENTS), timeout=5)).versions
        assert [(one.version, one.by) for one in history] == [(3, "bob"), (2, "ann"), (1, "ann")]
        refusals = {
            Reason.SECRET_REFUSED: put(config, AGENTS, password="hidden"),
            Reason.INVALID_ARGUMENT: put(config, pb.ConfigTarget(), spread=1),
            Reason.UNKNOWN_VERSION: config.GetConfig(pb.GetConfigRequest(target=AGENTS, version=9), timeout=5),
            Reason.CONCURRENT_WRITE: config.RollbackConfig(
                pb.RollbackConfigRequest(target=AGENTS, version=2, reason="r", by="b", expected_version=1), timeout=5
            ),
            Reason.NOT_REGISTERED: config.ReportConfig(
                pb.ReportConfigRequest(report=pb.ConfigReport(target=DESK)), timeout=5
            ),
        }
        for reason, call in refusals.items():
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await call
            error = MeshError.of(refused.value)
            assert error.reason is reason
            assert "hidden" not in error.message
        hub.stop.set()
        with pytest.raises(grpc.aio.AioRpcError) as ended:
            await watch.read()
        assert MeshError.of(ended.value).reason is Reason.SHUTTING_DOWN


async def test_a_program_hears_of_what_is_kept_and_not_twice_of_the_same() -> None:
    """Nothing kept is not told; it goes on with what it knew while no hub is there."""
    async with run_hub() as hub, config_of(hub) as config, watching(hub.address) as (session, watch):
        await put(config, pb.ConfigTarget(service="other"), spread=1)
        await put(config, DESK, spread=1)
        kept = await watch.newer(None)
        assert kept.values == {"spread": 1}
        await put(config, AGENTS, symbols=["EURUSD"])
        newer = await watch.newer(kept)
        assert newer.values == {"spread": 1, "symbols": ["EURUSD"]}
        hub.stop.set()
        assert await session.other_hub(hub.address) == ""
        assert await watch.newer(KeptConfig()) == newer
