"""`suho config watch`: what counts for a program, as it changes."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import grpc
import typer
from suho.hub.v1 import config_pb2, config_pb2_grpc

from cli.config_values import differences, name_of, target_of, told
from cli.connection import DEFAULT_STATE, StateOption, hub, run
from cli.output import print_json, to_dict, utc
from mesh.clock import unix_ms
from mesh.errors import MeshError, Reason
from mesh.structs import values_of
from mesh.waiting import backoff

_AWAY = frozenset({Reason.UNREACHABLE, Reason.SHUTTING_DOWN, Reason.DEADLINE_EXCEEDED})


def watch(
    target: Annotated[
        config_pb2.ConfigTarget, typer.Argument(parser=target_of, metavar="SERVICE[/INSTANCE]", help="Whose settings.")
    ],
    for_s: Annotated[float | None, typer.Option("--for", min=0, help="End after so many seconds.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=0, help="End after so many lines; 0: never.")] = 0,
    state: StateOption = DEFAULT_STATE,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """What counts now, and again whenever it changed, a line each, until Ctrl-C."""

    async def tell() -> None:
        count, before = 0, dict[str, Any]()
        with suppress(TimeoutError):  # over, as asked
            async with asyncio.timeout(for_s):
                async for effective in _follow(state, target):
                    values = values_of(effective.values)
                    if as_json:
                        print_json({"unix_ms": unix_ms(), **_versions(effective), "values": values})
                    else:
                        print(_line(effective, differences(before, values)), flush=True)
                    before, count = values, count + 1
                    if count == limit > 0:
                        return

    run(tell)


async def _follow(state: Path, target: config_pb2.ConfigTarget) -> AsyncIterator[config_pb2.EffectiveConfig]:
    """For ever, whichever hub tells it."""
    known, away, pauses = 0, False, backoff()
    while True:
        try:
            async with hub(state) as channel:
                stub = config_pb2_grpc.ConfigServiceStub(channel)
                request = config_pb2.WatchConfigRequest(target=target, known_revision=known)
                # No deadline: it is followed until the person ends it.
                async for response in stub.WatchConfig(request):
                    known, away, pauses = response.effective.revision, False, backoff()
                    yield response.effective
        except grpc.aio.AioRpcError as error:
            refusal = MeshError.of(error)
            if refusal.reason not in _AWAY:
                raise
            if not away:
                sys.stderr.write(f"suho: the hub is away ({refusal.message}); trying on, others too\n")
            away = True
        await asyncio.sleep(next(pauses))


def _versions(effective: config_pb2.EffectiveConfig) -> dict[str, Any]:
    return {
        "target": to_dict(effective.target),
        "revision": effective.revision,
        "service_version": effective.of_service.version,
        "instance_version": effective.of_instance.version,
    }


def _line(effective: config_pb2.EffectiveConfig, found: list[dict[str, Any]]) -> str:
    newest = max(effective.of_service, effective.of_instance, key=lambda version: version.changed_unix_ms)
    versions = "+".join(str(made.version) for made in (effective.of_service, effective.of_instance) if made.version)
    what = "; ".join(told(item) for item in found) or "nothing differs"
    return f"{utc(newest.changed_unix_ms)} {name_of(effective.target)} {versions} by {newest.by}: {what}"
