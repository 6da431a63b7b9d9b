"""`suho.hub.v1.ConfigService` at the edge."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
from suho.hub.v1 import config_pb2 as pb
from suho.hub.v1 import config_pb2_grpc

from hub.config_reports import ConfigReports, Report
from hub.configurations import Configurations
from hub.messages.configurations import effective_to, target_from, target_to, values_from, version_to
from hub.servicers.refusals import canonical
from hub.streams import Bell, heard, stopping_error
from mesh.server import Service, service

_NAME = pb.DESCRIPTOR.services_by_name["ConfigService"].full_name
_Context = grpc.aio.ServicerContext[Any, Any]


class ConfigServicer(config_pb2_grpc.ConfigServiceServicer):
    """Documents, their history, and those who follow them."""

    def __init__(self, hub_id: str, configurations: Configurations, reports: ConfigReports, changes: Bell) -> None:
        self._hub_id = hub_id
        self._configurations = configurations
        self._reports = reports
        self._changes = changes

    def service(self) -> Service:
        """As a server takes it."""
        return service(config_pb2_grpc.add_ConfigServiceServicer_to_server, self, _NAME)

    async def GetConfig(self, request: pb.GetConfigRequest, context: _Context) -> pb.GetConfigResponse:
        with canonical():
            target = target_from(request.target)
            version = self._configurations.get(target, request.version)
            effective = self._configurations.effective(target)
        response = pb.GetConfigResponse(effective=effective_to(effective))
        if version is not None:
            response.config.CopyFrom(version_to(version))
        return response

    async def PutConfig(self, request: pb.PutConfigRequest, context: _Context) -> pb.PutConfigResponse:
        with canonical():
            version = await self._configurations.put(
                target_from(request.target),
                values_from(request.values),
                request.reason,
                request.by,
                request.expected_version if request.HasField("expected_version") else None,
            )
        return pb.PutConfigResponse(config=version_to(version))

    async def DeleteConfig(self, request: pb.DeleteConfigRequest, context: _Context) -> pb.DeleteConfigResponse:
        with canonical():
            deleted = await self._configurations.delete(target_from(request.target), request.reason, request.by)
        response = pb.DeleteConfigResponse()
        if deleted is not None:
            response.config.CopyFrom(version_to(deleted))
        return response

    async def ListConfigs(self, request: pb.ListConfigsRequest, context: _Context) -> pb.ListConfigsResponse:
        summaries = [
            pb.ConfigSummary(
                target=target_to(one.target),
                newest=version_to(one.newest, values=False),
                values=len(one.newest.values),
                versions=len(one.versions),
            )
            for one in self._configurations.all(request.service)
        ]
        return pb.ListConfigsResponse(configs=summaries, revision=self._configurations.revision)

    async def GetConfigHistory(
        self, request: pb.GetConfigHistoryRequest, context: _Context
    ) -> pb.GetConfigHistoryResponse:
        with canonical():
            versions = self._configurations.history(target_from(request.target))
        return pb.GetConfigHistoryResponse(versions=[version_to(version) for version in versions])

    async def RollbackConfig(self, request: pb.RollbackConfigRequest, context: _Context) -> pb.RollbackConfigResponse:
        with canonical():
            version = await self._configurations.roll_back(
                target_from(request.target),
                request.version,
                request.reason,
                request.by,
                request.expected_version if request.HasField("expected_version") else None,
            )
        return pb.RollbackConfigResponse(config=version_to(version))

    async def WatchConfig(
        self, request: pb.WatchConfigRequest, context: _Context
    ) -> AsyncIterator[pb.WatchConfigResponse]:
        """A watcher has a revision and no queue: of what came while it was slow it is told the newest."""
        target, known = target_from(request.target), request.known_revision
        with self._changes.listening() as ear:
            while not self._changes.stopping:
                with canonical():
                    effective = self._configurations.effective(target)
                if effective.revision != known:
                    known = effective.revision
                    yield pb.WatchConfigResponse(effective=effective_to(effective))
                else:
                    await heard(ear)
        raise stopping_error()

    async def ReportConfig(self, request: pb.ReportConfigRequest, context: _Context) -> pb.ReportConfigResponse:
        said = request.report
        with canonical():
            self._reports.take(
                Report(
                    target_from(said.target), said.service_version, said.instance_version, said.refusal,
                    dict(said.notes),
                )
            )  # fmt: skip
        return pb.ReportConfigResponse()

    async def ListConfigReports(
        self, request: pb.ListConfigReportsRequest, context: _Context
    ) -> pb.ListConfigReportsResponse:
        reports = [
            pb.ConfigReport(
                target=target_to(one.target),
                service_version=one.service_version,
                instance_version=one.instance_version,
                refusal=one.refusal,
                notes=one.notes,
                told_unix_ms=one.told_unix_ms,
            )
            for one in self._reports.all()
        ]
        return pb.ListConfigReportsResponse(hub_id=self._hub_id, reports=reports)
