"""`suho.hub.v1.RegistryService` at the edge: each part of it has a module of its own."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
from suho.hub.v1 import registry_pb2 as pb
from suho.hub.v1 import registry_pb2_grpc

from hub.domain.catalog import Catalog
from hub.domain.history import History
from hub.servicers.history import health_history
from hub.servicers.leases import UnaryLeases
from hub.servicers.questions import Questions
from hub.servicers.sessions import Sessions
from hub.servicers.watches import Watches
from mesh.server import Service

_NAME = pb.DESCRIPTOR.services_by_name["RegistryService"].full_name

_Context = grpc.aio.ServicerContext[Any, Any]


class RegistryServicer(registry_pb2_grpc.RegistryServiceServicer):
    """Hands each call to the part that answers it."""

    def __init__(
        self,
        sessions: Sessions,
        leases: UnaryLeases,
        questions: Questions,
        watches: Watches,
        history: History,
        catalog: Catalog,
    ) -> None:
        self._sessions = sessions
        self._leases = leases
        self._questions = questions
        self._watches = watches
        self._history = history
        self._catalog = catalog

    def service(self) -> Service:
        """Watchers are handed bytes, serialised once for all that are told the same."""

        def add(server: grpc.aio.Server) -> None:
            collected = _Collected()
            registry_pb2_grpc.add_RegistryServiceServicer_to_server(self, collected)  # type: ignore[arg-type]
            handlers = dict(collected.handlers)
            handlers["Watch"] = handlers["Watch"]._replace(response_serializer=None)
            server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_NAME, handlers),))

        return Service(_NAME, add)

    # No generators around generators: ten thousand streams stand.
    def Session(
        self, request_iterator: AsyncIterator[pb.SessionRequest], context: _Context
    ) -> AsyncIterator[pb.SessionResponse]:
        return self._sessions.serve(request_iterator)

    async def Register(self, request: pb.RegisterRequest, context: _Context) -> pb.RegisterResponse:
        return await self._leases.register(request)

    async def Renew(self, request: pb.RenewRequest, context: _Context) -> pb.RenewResponse:
        return await self._leases.renew(request)

    async def Deregister(self, request: pb.DeregisterRequest, context: _Context) -> pb.DeregisterResponse:
        return await self._leases.deregister(request)

    async def ListServices(self, request: pb.ListServicesRequest, context: _Context) -> pb.ListServicesResponse:
        return self._questions.services()

    async def ListInstances(self, request: pb.ListInstancesRequest, context: _Context) -> pb.ListInstancesResponse:
        return self._questions.instances(request)

    async def Resolve(self, request: pb.ResolveRequest, context: _Context) -> pb.ResolveResponse:
        return self._questions.resolve(request)

    async def GetHealthHistory(
        self, request: pb.GetHealthHistoryRequest, context: _Context
    ) -> pb.GetHealthHistoryResponse:
        return await health_history(self._history, self._catalog, request)

    async def GetRegistryState(
        self, request: pb.GetRegistryStateRequest, context: _Context
    ) -> pb.GetRegistryStateResponse:
        return self._questions.state()

    def Watch(self, request: pb.WatchRequest, context: _Context) -> AsyncIterator[bytes]:  # type: ignore[override]
        return self._watches.serve(request)


class _Collected:
    """Takes the generated handlers in a server's place."""

    handlers: dict[str, Any]

    def add_generic_rpc_handlers(self, _: object) -> None:
        """The same handlers, no longer to be taken apart."""

    def add_registered_method_handlers(self, _: str, handlers: dict[str, Any]) -> None:
        self.handlers = handlers
