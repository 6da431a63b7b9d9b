"""The one way to serve, over a real socket."""

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest
from grpc_channelz.v1 import channelz_pb2, channelz_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2
from suho.hub.v1 import registry_pb2 as pb
from suho.hub.v1 import registry_pb2_grpc

from mesh.channel import direct_channel
from mesh.config import ServerSettings, SettingsError
from mesh.errors import MeshError, Reason
from mesh.interceptors import deadline
from mesh.server import MeshServer, Service, instance_of, open_server, service

pytestmark = pytest.mark.integration

NAME = "suho.hub.v1.RegistryService"
SETTINGS = ServerSettings(instance="t-1", port=0)


class Registry(registry_pb2_grpc.RegistryServiceServicer):
    """Each method fails in its own way."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self.release = asyncio.Event()

    async def ListServices(self, request: pb.ListServicesRequest, context: object) -> pb.ListServicesResponse:
        raise MeshError(Reason.UNKNOWN_SERVICE, "no such service", service="x")

    async def ListInstances(self, request: pb.ListInstancesRequest, context: object) -> pb.ListInstancesResponse:
        raise ValueError("the password is canary")

    async def Resolve(self, request: pb.ResolveRequest, context: object) -> pb.ResolveResponse:
        self.entered.set()
        await self.release.wait()
        return pb.ResolveResponse(revision=7)

    async def Watch(self, request: pb.WatchRequest, context: object) -> AsyncIterator[pb.WatchResponse]:
        yield pb.WatchResponse(revision=1)
        raise MeshError(Reason.REVISION_COMPACTED, "list again")


def registry_service(servicer: Registry) -> Service:
    return service(registry_pb2_grpc.add_RegistryServiceServicer_to_server, servicer, NAME)


@pytest.fixture
async def served() -> AsyncIterator[tuple[MeshServer, Registry, grpc.aio.Channel]]:
    servicer = Registry()
    async with (
        open_server(SETTINGS, [registry_service(servicer)]) as server,
        direct_channel([f"127.0.0.1:{server.port}"]) as channel,
    ):
        yield server, servicer, channel


Served = tuple[MeshServer, Registry, grpc.aio.Channel]


async def resolve(stub: "registry_pb2_grpc.RegistryServiceAsyncStub") -> pb.ResolveResponse:
    return await stub.Resolve(pb.ResolveRequest())


async def test_a_refusal_arrives_with_its_reason(served: Served) -> None:
    """What the server raises is what the client gets back, from calls and streams."""
    stub = registry_pb2_grpc.RegistryServiceStub(served[2])
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.ListServices(pb.ListServicesRequest())
    error = MeshError.of(caught.value)
    assert (error.reason, error.message, error.metadata) == (
        Reason.UNKNOWN_SERVICE,
        "no such service",
        {"service": "x"},
    )
    call = stub.Watch(pb.WatchRequest())
    assert (await call.read()).revision == 1
    with pytest.raises(grpc.aio.AioRpcError) as ended:
        await call.read()
    assert MeshError.of(ended.value).reason is Reason.REVISION_COMPACTED


async def test_an_unforeseen_failure_tells_the_caller_nothing(served: Served) -> None:
    """INTERNAL, with the details in the server's log only."""
    stub = registry_pb2_grpc.RegistryServiceStub(served[2])
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.ListInstances(pb.ListInstancesRequest())
    assert caught.value.code() is grpc.StatusCode.INTERNAL
    assert "canary" not in str(caught.value)


async def test_a_call_without_a_deadline_gets_one(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """A handler that hangs ends with DEADLINE_EXCEEDED."""
    monkeypatch.setattr(deadline, "DEFAULT_DEADLINE_S", 0.05)
    stub = registry_pb2_grpc.RegistryServiceStub(served[2])
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.Resolve(pb.ResolveRequest())
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_health_and_channelz_answer(served: Served) -> None:
    """Every server says how it is, service by service."""
    health = health_pb2_grpc.HealthStub(served[2])
    for name in ("", NAME):
        answer = await health.Check(health_pb2.HealthCheckRequest(service=name))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    servers = await channelz_pb2_grpc.ChannelzStub(served[2]).GetServers(channelz_pb2.GetServersRequest())
    assert servers.server


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
async def test_reflection_lists_every_service_in_both_versions(served: Served, version: str) -> None:
    """grpcurl finds the services whichever version it asks, and the contract of each."""

    async def ask(**what: str) -> reflection_pb2.ServerReflectionResponse:
        call = served[2].unary_stream(
            f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
            request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
        )(reflection_pb2.ServerReflectionRequest(**what))
        answer = await call.read()
        assert isinstance(answer, reflection_pb2.ServerReflectionResponse)
        return answer

    names = {item.name for item in (await ask(list_services="")).list_services_response.service}
    assert {NAME, "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection"} <= names
    for name in names:
        assert (await ask(file_containing_symbol=name)).HasField("file_descriptor_response"), name


async def test_stopping_lets_a_call_under_way_finish(served: Served) -> None:
    """A drain refuses new calls and answers those that it has."""
    server, servicer, channel = served
    stub = registry_pb2_grpc.RegistryServiceStub(channel)
    async with asyncio.TaskGroup() as tasks:
        answer = tasks.create_task(resolve(stub))
        await servicer.entered.wait()
        stopping = tasks.create_task(server.stop(5))
        servicer.release.set()
        assert (await answer).revision == 7
        await stopping


async def test_a_taken_port_is_an_error_that_says_so(served: Served) -> None:
    """Two programs never share a port in silence."""
    with pytest.raises(SettingsError, match="is taken by another program"):
        async with open_server(SETTINGS.model_copy(update={"port": served[0].port}), []):
            pass


@pytest.mark.parametrize("host", ["0.0.0.0", "10.0.0.1", "localhost"])
async def test_only_loopback_is_listened_on(host: str) -> None:
    """Until there is TLS nobody outside can reach a server."""
    with pytest.raises(SettingsError, match="setting 'host'"):
        async with open_server(SETTINGS.model_copy(update={"host": host}), []):
            pass


async def test_an_instance_says_what_it_serves(served: Served) -> None:
    """Its unary methods, those that may be repeated marked as the contract has them; and where it is."""
    here = SETTINGS.model_copy(update={"zone": "a", "published_host": "192.0.2.1", "published_port": 9})
    made = instance_of(here, "hub", served[0], ["database"])
    methods = {method.path: method.idempotent for method in made.methods}
    assert methods[f"{NAME}/ListInstances"]
    assert not methods[f"{NAME}/Register"]
    assert f"{NAME}/Watch" not in methods
    assert (made.zone, list(made.dependencies)) == ("a", ["database"])
    (address,) = made.addresses
    assert (address.published_host, address.published_port) == ("192.0.2.1", 9)
