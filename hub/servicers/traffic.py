"""`suho.hub.v1.TrafficService` at the edge."""

import asyncio
import time

import grpc
from suho.hub.v1 import traffic_pb2 as pb
from suho.hub.v1 import traffic_pb2_grpc

from hub.discovery import Discovery
from hub.messages.clients import client_to
from hub.messages.policies import policy_from, policy_to
from hub.servicers.refusals import canonical
from hub.traffic import Traffic
from hub.xds.clients import Clients
from mesh.clock import unix_ms
from mesh.server import Service, service

_NAME = pb.DESCRIPTOR.services_by_name["TrafficService"].full_name

# gRPC's clients refuse messages of more than 4 MiB.
_MAX_BYTES = 3 << 20
# Clients described at a time, before others get their turn.
_AT_ONCE = 100


class TrafficServicer(traffic_pb2_grpc.TrafficServiceServicer):
    """Policies, and who was told what."""

    def __init__(self, hub_id: str, traffic: Traffic, discovery: Discovery, clients: Clients) -> None:
        self._hub_id = hub_id
        self._traffic = traffic
        self._discovery = discovery
        self._clients = clients

    def service(self) -> Service:
        """As a server takes it."""
        return service(traffic_pb2_grpc.add_TrafficServiceServicer_to_server, self, _NAME)

    async def PutPolicy(
        self,
        request: pb.PutPolicyRequest,
        context: "grpc.aio.ServicerContext[pb.PutPolicyRequest, pb.PutPolicyResponse]",
    ) -> pb.PutPolicyResponse:
        with canonical():
            expected = request.expected_revision if request.HasField("expected_revision") else None
            revision, policy = await self._traffic.put(policy_from(request.policy), expected)
        return pb.PutPolicyResponse(policy=policy_to(policy, revision))

    async def DeletePolicy(
        self,
        request: pb.DeletePolicyRequest,
        context: "grpc.aio.ServicerContext[pb.DeletePolicyRequest, pb.DeletePolicyResponse]",
    ) -> pb.DeletePolicyResponse:
        with canonical():
            revision = await self._traffic.delete(request.service)
        return pb.DeletePolicyResponse(revision=revision)

    async def ListPolicies(
        self,
        request: pb.ListPoliciesRequest,
        context: "grpc.aio.ServicerContext[pb.ListPoliciesRequest, pb.ListPoliciesResponse]",
    ) -> pb.ListPoliciesResponse:
        policies = [policy_to(policy, revision) for revision, policy in self._traffic.policies()]
        return pb.ListPoliciesResponse(policies=policies, revision=self._traffic.revision)

    async def ListClients(
        self,
        request: pb.ListClientsRequest,
        context: "grpc.aio.ServicerContext[pb.ListClientsRequest, pb.ListClientsResponse]",
    ) -> pb.ListClientsResponse:
        started = unix_ms() - round(time.monotonic() * 1000)
        response = pb.ListClientsResponse(hub_id=self._hub_id)
        size = 0
        clients = list(self._clients)
        for number, client in enumerate(clients):
            if number % _AT_ONCE == _AT_ONCE - 1:
                await asyncio.sleep(0)
            message = client_to(client, self._discovery.snapshot, started)
            size += message.ByteSize()
            if size > _MAX_BYTES:
                response.left_out = len(clients) - number
                break
            response.clients.append(message)
        return response
