"""A program follows what the mesh keeps for it (`suho.hub.v1.ConfigService`), and says what it runs."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import grpc
from suho.hub.v1 import config_pb2 as pb
from suho.hub.v1 import config_pb2_grpc

from mesh.channel import direct_channel
from mesh.errors import MeshError
from mesh.log import get_logger
from mesh.session import HubSession
from mesh.structs import values_of
from mesh.waiting import backoff

log = get_logger(__name__)

_TELL_S = 5.0
# Of what a hub takes of one text.
_LONGEST = 1_024


@dataclass(frozen=True, slots=True)
class Made:
    """Of a document: its newest version, who made it and why; version 0: there is none."""

    version: int = 0
    by: str = ""
    reason: str = ""
    changed_unix_ms: int = 0


@dataclass(frozen=True, slots=True)
class KeptConfig:
    """What counts for an instance: its service's values under its own."""

    values: Mapping[str, Any] = field(default_factory=dict)
    of_service: Made = Made()
    of_instance: Made = Made()


class ConfigWatch:
    """Follows at the hub that has the program's session, over the same connection.

    A hub that is left for a better one is left here too. What is kept last counts while no hub is there.
    """

    def __init__(self, session: HubSession, service: str, instance: str) -> None:
        self._session = session
        self._target = pb.ConfigTarget(service=service, instance=instance)
        self._kept: KeptConfig | None = None
        self._told = asyncio.Event()
        self._report: pb.ConfigReport | None = None
        self._to_report = asyncio.Event()

    async def newer(self, known: KeptConfig | None) -> KeptConfig:
        """What is kept, as soon as a hub told something else than the known."""
        while self._kept is None or self._kept == known:
            self._told.clear()
            await self._told.wait()
        return self._kept

    def report(
        self, service_version: int, instance_version: int, refusal: str = "", notes: Mapping[str, str] | None = None
    ) -> None:
        """Let hubs know what this program runs, now and whenever it comes to another hub."""
        self._report = pb.ConfigReport(
            target=self._target,
            service_version=service_version,
            instance_version=instance_version,
            refusal=refusal[:_LONGEST],
            notes=notes,
        )
        self._to_report.set()

    async def run(self) -> None:
        """Follow for ever."""
        hub = ""
        while True:
            hub = await self._session.other_hub(hub)
            if not hub:
                continue
            async with asyncio.TaskGroup() as tasks, direct_channel([hub]) as channel:
                stub = config_pb2_grpc.ConfigServiceStub(channel)
                works = (tasks.create_task(self._follow(stub, hub)), tasks.create_task(self._tell(stub)))
                await self._session.other_hub(hub)
                for work in works:
                    work.cancel()
            hub = ""

    async def _follow(self, stub: "config_pb2_grpc.ConfigServiceAsyncStub", hub: str) -> None:
        known, pauses = 0, backoff()
        while True:
            try:
                # No deadline: it stands as long as the session stands there.
                async for response in stub.WatchConfig(
                    pb.WatchConfigRequest(target=self._target, known_revision=known)
                ):
                    self._take(response.effective)
                    known, pauses = response.effective.revision, backoff()
            except grpc.aio.AioRpcError as error:
                log.info("configuration is not followed", hub=hub, because=MeshError.of(error).message)
            await asyncio.sleep(next(pauses))

    def _take(self, effective: pb.EffectiveConfig) -> None:
        self._kept = KeptConfig(values_of(effective.values), _made(effective.of_service), _made(effective.of_instance))
        self._told.set()

    async def _tell(self, stub: "config_pb2_grpc.ConfigServiceAsyncStub") -> None:
        """The newest report; a hub that did not take it is told again."""
        pauses = backoff()
        said: pb.ConfigReport | None = None
        while True:
            self._to_report.clear()
            report = self._report
            if report is None or report is said:
                await self._to_report.wait()
                continue
            try:
                await stub.ReportConfig(pb.ReportConfigRequest(report=report), timeout=_TELL_S)
                said, pauses = report, backoff()
            except grpc.aio.AioRpcError as error:
                log.info("what runs could not be told", because=MeshError.of(error).message)
                await asyncio.sleep(next(pauses))


def _made(version: pb.ConfigVersion) -> Made:
    return Made(version.version, version.by, version.reason, version.changed_unix_ms)
