"""Hubs as the commands see them: the contract's servicers on what the test says."""

import json
import threading
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
from suho.common.v1 import page_pb2
from suho.hub.v1 import maintenance_pb2, maintenance_pb2_grpc, registry_pb2_grpc, traffic_pb2, traffic_pb2_grpc
from suho.hub.v1 import registry_pb2 as pb

from mesh.errors import MeshError, Reason


def instance(name: str, status: str = "UP", service: str = "echo", **fields: Any) -> pb.Instance:
    """An instance in the hub's words."""
    value = pb.InstanceStatus.Value(f"INSTANCE_STATUS_{status}")
    return pb.Instance(id=name, service=service, status=value, reported_status=pb.INSTANCE_STATUS_UP, **fields)


def put(*instances: pb.Instance) -> list[pb.InstanceChange]:
    return [pb.InstanceChange(kind=pb.CHANGE_KIND_PUT, instance=item) for item in instances]


def refuse(context: Any, error: MeshError) -> None:
    """End the call as the mesh's servers do."""
    details = error.status().SerializeToString()
    context.set_trailing_metadata((("grpc-status-details-bin", details),))
    context.abort(error.code, error.message)


class FakeRegistry(registry_pb2_grpc.RegistryServiceServicer):
    def __init__(self, hub_id: str) -> None:
        self.instances: list[pb.Instance] = []
        self.events: list[pb.HealthEvent] = []
        self.state = pb.GetRegistryStateResponse(hub_id=hub_id, store="memory", attached=True)
        # Of each watch in turn: what it tells, and how it ends; the last one stays open.
        self.watches: list[list[pb.WatchResponse | MeshError]] = []
        self.watched_from: list[int] = []

    def ListServices(self, request: Any, context: Any) -> pb.ListServicesResponse:
        names = sorted({item.service for item in self.instances})
        return pb.ListServicesResponse(services=[pb.ServiceSummary(service=name) for name in names])

    def ListInstances(self, request: pb.ListInstancesRequest, context: Any) -> pb.ListInstancesResponse:
        """Two a page."""
        found = [item for item in self.instances if request.service in ("", item.service)]
        start = int(request.page.token or 0)
        following = str(start + 2) if start + 2 < len(found) else ""
        page = page_pb2.PageInfo(next_token=following)
        return pb.ListInstancesResponse(instances=found[start : start + 2], revision=7 + start, page=page)

    def GetHealthHistory(self, request: Any, context: Any) -> pb.GetHealthHistoryResponse:
        return pb.GetHealthHistoryResponse(events=self.events)

    def GetRegistryState(self, request: Any, context: Any) -> pb.GetRegistryStateResponse:
        return self.state

    def Watch(self, request: pb.WatchRequest, context: Any) -> Iterator[pb.WatchResponse]:
        self.watched_from.append(request.start_revision)
        for told in self.watches.pop(0):
            if isinstance(told, MeshError):
                refuse(context, told)
            yield told
        over = threading.Event()
        context.add_callback(over.set)
        over.wait()


class FakeMaintenance(maintenance_pb2_grpc.MaintenanceServiceServicer):
    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.affected: list[str] = []
        self.refusal: MeshError | None = None

    def Drain(self, request: maintenance_pb2.DrainRequest, context: Any) -> maintenance_pb2.DrainResponse:
        self.asked.append(request)
        if self.refusal:
            refuse(context, self.refusal)
        order = pb.Drain(target=request.target, status=request.status, reason=request.reason, by=request.by)
        return maintenance_pb2.DrainResponse(drain=order, instances=self.affected)

    def Undrain(self, request: Any, context: Any) -> maintenance_pb2.UndrainResponse:
        self.asked.append(request)
        return maintenance_pb2.UndrainResponse(revision=8, instances=self.affected)

    def ListDrains(self, request: Any, context: Any) -> maintenance_pb2.ListDrainsResponse:
        order = pb.Drain(
            target=pb.DrainTarget(zone="west"), status=pb.INSTANCE_STATUS_DRAINING, reason="[flood]", by="alice"
        )
        return maintenance_pb2.ListDrainsResponse(drains=[order])


class FakeTraffic(traffic_pb2_grpc.TrafficServiceServicer):
    def __init__(self, hub_id: str) -> None:
        self.clients = traffic_pb2.ListClientsResponse(hub_id=hub_id)
        self.policies: list[traffic_pb2.ServicePolicy] = []

    def ListClients(self, request: Any, context: Any) -> traffic_pb2.ListClientsResponse:
        return self.clients

    def ListPolicies(self, request: Any, context: Any) -> traffic_pb2.ListPoliciesResponse:
        return traffic_pb2.ListPoliciesResponse(policies=self.policies)

    def PutPolicy(self, request: traffic_pb2.PutPolicyRequest, context: Any) -> traffic_pb2.PutPolicyResponse:
        """Only in the place of the policy that it was made from."""
        standing = next((one.revision for one in self.policies if one.service == request.policy.service), 0)
        if not request.HasField("expected_revision") or request.expected_revision != standing:
            refuse(context, MeshError(Reason.CONCURRENT_WRITE, "another policy stands"))
        request.policy.revision = standing + 1
        self.policies = [request.policy]
        return traffic_pb2.PutPolicyResponse(policy=request.policy)

    def DeletePolicy(self, request: traffic_pb2.DeletePolicyRequest, context: Any) -> traffic_pb2.DeletePolicyResponse:
        self.policies = []
        return traffic_pb2.DeletePolicyResponse()


class FakeHub:
    """One hub on a free port."""

    def __init__(self, hub_id: str = "hub-1") -> None:
        self.registry, self.maintenance, self.traffic = FakeRegistry(hub_id), FakeMaintenance(), FakeTraffic(hub_id)
        self._server = grpc.server(futures.ThreadPoolExecutor(4))
        registry_pb2_grpc.add_RegistryServiceServicer_to_server(self.registry, self._server)
        maintenance_pb2_grpc.add_MaintenanceServiceServicer_to_server(self.maintenance, self._server)
        traffic_pb2_grpc.add_TrafficServiceServicer_to_server(self.traffic, self._server)
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def close(self) -> None:
        self._server.stop(None).wait()


def write_state(state: Path, *hubs: str) -> None:
    """A state folder that names these hubs."""
    state.mkdir(parents=True)
    (state / "mesh.json").write_text(json.dumps({"hubs": hubs}))
