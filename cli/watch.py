"""`suho watch`: what changes, as it changes."""

import asyncio
import sys
from collections.abc import AsyncIterable, AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import grpc
import typer
from suho.hub.v1 import registry_pb2, registry_pb2_grpc

from cli.connection import DEFAULT_STATE, StateOption, hub, run
from cli.instances import status_of
from cli.output import print_json, to_dict, utc
from mesh.clock import unix_ms
from mesh.errors import MeshError, Reason
from mesh.waiting import backoff

# A hub that is away or stopping; another one, or the same, goes on from the revision.
_AWAY = frozenset({Reason.UNREACHABLE, Reason.SHUTTING_DOWN, Reason.DEADLINE_EXCEEDED})
# Told by themselves, or of no interest to people.
_NOT_COMPARED = frozenset({"revision", "status", "status_reason", "doubted"})


def watch(
    service: Annotated[str, typer.Argument(help="Only this service's.")] = "",
    from_revision: Annotated[
        int, typer.Option(min=0, max=2**64 - 1, help="The changes after this revision first.")
    ] = 0,
    for_s: Annotated[float | None, typer.Option("--for", min=0, help="End after so many seconds.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=0, help="End after so many changes; 0: never.")] = 0,
    state: StateOption = DEFAULT_STATE,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Changes of instances as they happen, a line each, until Ctrl-C; --json begins with who is there."""

    async def tell() -> None:
        told = 0
        with suppress(TimeoutError):  # over, as asked
            async with asyncio.timeout(for_s):
                async for change in follow(state, service, from_revision):
                    if as_json:
                        print_json(change)
                    elif change["change"] != "PRESENT":
                        print(_line(change), flush=True)
                    told += change["change"] != "PRESENT"
                    if told == limit > 0:
                        return

    run(tell)


async def follow(state: Path, service: str, revision: int) -> AsyncIterator[dict[str, Any]]:
    """Changes for ever, whichever hub tells them."""
    known, away = Known(), False
    pauses = backoff()
    while True:
        try:
            async with hub(state) as channel:
                stub = registry_pb2_grpc.RegistryServiceStub(channel)
                request = registry_pb2.WatchRequest(service=service, start_revision=revision, progress=True)
                # No deadline: it is followed until the person ends it.
                async for response in whole(stub.Watch(request)):
                    changes = list(known.take(response))
                    for left, change in zip(range(len(changes) - 1, -1, -1), changes, strict=True):
                        # From where to resume: behind all of a response, or behind none of it.
                        yield {"revision": revision if left else response.revision, **change}
                    pauses, revision, away = backoff(), response.revision, False
        except grpc.aio.AioRpcError as error:
            refusal = MeshError.of(error)
            if refusal.reason is Reason.REVISION_COMPACTED:
                _say(f"the changes after revision {revision} are no longer held; listing anew")
                revision = 0
            elif refusal.reason in _AWAY:
                if not away:
                    _say(f"the hub is away ({refusal.message}); trying on, others too, from revision {revision}")
                away = True
            else:
                raise
        await asyncio.sleep(next(pauses))


async def whole(
    messages: AsyncIterable[registry_pb2.WatchResponse],
) -> AsyncIterator[registry_pb2.WatchResponse]:
    """A snapshot, or a revision, that came in several messages as one."""
    parts: list[registry_pb2.InstanceChange] = []
    async for message in messages:
        parts += message.changes
        if not message.more:
            yield registry_pb2.WatchResponse(revision=message.revision, snapshot=message.snapshot, changes=parts)
            parts = []


class Known:
    """The instances as last told, so that each change can be told by what it changed."""

    def __init__(self) -> None:
        self._instances: dict[str, dict[str, Any]] = {}
        # Whoever is not known is new; False until there was a snapshot.
        self._complete = False

    def take(self, response: registry_pb2.WatchResponse) -> Iterator[dict[str, Any]]:
        """The changes that a response tells; of a second snapshot, what it differs in."""
        told = [(change.kind, to_dict(change.instance)) for change in response.changes]
        if response.snapshot:
            present = {instance["id"] for _, instance in told}
            gone = [instance for key, instance in self._instances.items() if key not in present]
            told += [(registry_pb2.CHANGE_KIND_REMOVED, instance) for instance in gone]
        first = response.snapshot and not self._complete
        for kind, instance in told:
            was = self._instances.pop(instance["id"], None)
            if kind == registry_pb2.CHANGE_KIND_REMOVED:
                yield _change("REMOVED", was or instance, instance)
                continue
            self._instances[instance["id"]] = instance
            if first and was is None:
                yield _change("PRESENT", None, instance)
            elif was is None:
                yield _change("ADDED" if self._complete else "PUT", None, instance)
            elif was != instance:
                yield _change("CHANGED", was, instance)
        self._complete = self._complete or response.snapshot


def _change(kind: str, was: dict[str, Any] | None, now: dict[str, Any]) -> dict[str, Any]:
    return {
        "unix_ms": unix_ms(),
        "change": kind,
        "id": now["id"],
        "service": now["service"],
        "was": status_of(was) if was else None,
        "status": None if kind == "REMOVED" else status_of(now),
        "reason": now["status_reason"],
        "changed": _changed(was, now) if was else [],
        "instance": now,
    }


def _changed(was: dict[str, Any], now: dict[str, Any]) -> list[str]:
    return [name for name in now if name not in _NOT_COMPARED and now[name] != was[name]]


def _line(change: dict[str, Any]) -> str:
    was, status = change["was"], change["status"]
    match change["change"]:
        case "REMOVED":
            told = f"removed, was {was}"
        case "ADDED":
            told = f"added {status}"
        case _:
            told = status if was in (None, status) else f"{was} → {status}"
    reason = f": {change['reason']}" if change["reason"] else ""
    also = f" [{', '.join(change['changed'])}]" if change["changed"] else ""
    return f"{utc(change['unix_ms'])} {change['id']} ({change['service']}) {told}{reason}{also}"


def _say(sentence: str) -> None:
    sys.stderr.write(f"suho: {sentence}\n")
