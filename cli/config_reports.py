"""What programs say of the settings that the mesh keeps for them: taken, refused, not in force."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc
from suho.hub.v1 import config_pb2, config_pb2_grpc

from cli.config_values import name_of
from cli.connection import TIMEOUT_S
from cli.hubs import ask_every_hub

# A program that is connected has judged a new version by then.
_WAIT_S = 2.0
_ASK_AGAIN_S = 0.1


@dataclass(frozen=True)
class Heard:
    """Who said what of a version; `silent`: who follows its settings and has not said anything of it yet."""

    taken: Sequence[config_pb2.ConfigReport] = ()
    refused: Sequence[config_pb2.ConfigReport] = ()
    silent: Sequence[config_pb2.ConfigReport] = ()

    def lines(self) -> list[str]:
        """For people."""
        return [
            *(f"taken by {name_of(one.target)}{f' ({notes_of(one)})' if one.notes else ''}" for one in self.taken),
            *(f"REFUSED by {name_of(one.target)}: {one.refusal}" for one in self.refused),
            *(f"no word of {name_of(one.target)} yet: `suho config status` tells" for one in self.silent),
        ]


async def reports(state: Path) -> list[config_pb2.ConfigReport]:
    """The newest of each instance that follows its settings, wherever it told it."""

    async def ask(channel: grpc.aio.Channel) -> config_pb2.ListConfigReportsResponse:
        stub = config_pb2_grpc.ConfigServiceStub(channel)
        return await stub.ListConfigReports(config_pb2.ListConfigReportsRequest(), timeout=TIMEOUT_S)

    newest: dict[str, config_pb2.ConfigReport] = {}
    for answer in await ask_every_hub(state, ask):
        for report in answer.answer.reports if answer.answer is not None else ():
            held = newest.get(report.target.instance)
            if held is None or held.told_unix_ms < report.told_unix_ms:
                newest[report.target.instance] = report
    return [newest[instance] for instance in sorted(newest)]


async def heard_of(state: Path, target: config_pb2.ConfigTarget, version: config_pb2.ConfigVersion) -> Heard:
    """What those say whom a new version is for, as soon as all of them have said something."""
    until = time.monotonic() + _WAIT_S
    while True:
        meant = [one for one in await reports(state) if _is_meant(one.target, target)]
        found = sorted_out(meant, target, version)
        if not found.silent or time.monotonic() > until:
            return found
        await asyncio.sleep(_ASK_AGAIN_S)


def sorted_out(
    meant: Sequence[config_pb2.ConfigReport], target: config_pb2.ConfigTarget, version: config_pb2.ConfigVersion
) -> Heard:
    """Reports that are older than the version say nothing of it."""
    told = [
        one for one in meant if _runs(one, target) >= version.version or one.told_unix_ms >= version.changed_unix_ms
    ]
    return Heard(
        [one for one in told if not one.refusal],
        [one for one in told if one.refusal],
        [one for one in meant if one not in told],
    )


def notes_of(report: config_pb2.ConfigReport) -> str:
    """Values that are not in force, and why."""
    return "; ".join(f"{name}: {why}" for name, why in sorted(report.notes.items()))


def _is_meant(instance: config_pb2.ConfigTarget, target: config_pb2.ConfigTarget) -> bool:
    return instance.service == target.service and target.instance in ("", instance.instance)


def _runs(report: config_pb2.ConfigReport, target: config_pb2.ConfigTarget) -> int:
    return report.instance_version if target.instance else report.service_version
