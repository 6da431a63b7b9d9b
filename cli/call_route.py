"""Where a call goes: which server tells the contract, and whether the mesh or that server itself is called."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc
from suho.hub.v1 import registry_pb2 as pb

from cli.call_failure import CallError, Layer, near
from cli.call_probe import check_server
from cli.connection import NoPlatformError, find_mesh, hub
from cli.instances import list_instances

_UP = pb.INSTANCE_STATUS_UP


@dataclass(frozen=True)
class Place:
    """What the command line says of where to call; neither instance nor address: the mesh."""

    state: Path
    instance: str = ""
    address: str = ""
    tls: bool = False
    ca: Path | None = None

    @property
    def through_mesh(self) -> bool:
        return not self.instance and not self.address

    def credentials(self) -> grpc.ChannelCredentials | None:
        if not self.tls:
            return None
        return grpc.ssl_channel_credentials(self.ca.read_bytes() if self.ca else None)


async def registered(state: Path, timeout_s: float) -> list[pb.Instance]:
    """All instances, by id.

    Raises:
        CallError: UNREACHABLE: there is no platform, or no hub answers.
    """
    try:
        hubs = ", ".join(find_mesh(state)["hubs"])
    except NoPlatformError as error:
        raise CallError(Layer.UNREACHABLE, str(error), "--address HOST:PORT calls a server without a hub") from None
    try:
        async with hub(state) as channel:
            async with asyncio.timeout(timeout_s):
                answer = await list_instances(channel)
    except (grpc.aio.AioRpcError, TimeoutError):
        raise CallError(
            Layer.UNREACHABLE,
            f"no hub answers at {hubs}",
            "`suho up` starts the platform; --address HOST:PORT calls a server without a hub",
        ) from None
    return sorted(answer.instances, key=lambda instance: instance.id)


def address_of(instance: pb.Instance) -> str:
    """Where it serves gRPC (host:port); empty: nowhere."""
    for address in instance.addresses:
        if address.name == "grpc":
            host = address.ip or address.host
            return f"[{host}]:{address.port}" if ":" in host else f"{host}:{address.port}"
    return ""


def named(instances: Sequence[pb.Instance], instance_id: str) -> str:
    """The address of one instance.

    Raises:
        CallError: UNREACHABLE: the hub knows none of that id, or it serves no gRPC.
    """
    found = next((instance for instance in instances if instance.id == instance_id), None)
    if found is None:
        known = near(instance_id, (instance.id for instance in instances))
        raise CallError(Layer.UNREACHABLE, f"the hub knows no instance {instance_id!r}{known}")
    if not (address := address_of(found)):
        raise CallError(Layer.UNREACHABLE, f"{instance_id} serves no gRPC: it registered no address of that name")
    return address


def offering(instances: Iterable[pb.Instance], service: str) -> list[pb.Instance]:
    """Those with a gRPC address that serve it; who is UP first."""
    found = [instance for instance in instances if service in instance.grpc_services and address_of(instance)]
    return sorted(found, key=lambda instance: instance.status != _UP)


def standing(instances: Iterable[pb.Instance]) -> str:
    """How they are, in a sentence's words."""
    return ", ".join(
        f"{instance.id} is {pb.InstanceStatus.Name(instance.status).removeprefix('INSTANCE_STATUS_')}"
        + (f" ({instance.status_reason})" if instance.status_reason else "")
        for instance in instances
    )


def match(wanted: str, services: Iterable[str], who: str) -> str:
    """The full name of a service that may be given by its last parts (TickService).

    Raises:
        CallError: UNIMPLEMENTED: none is called that; REQUEST: several are.
    """
    known = set(services)
    if wanted in known:
        return wanted
    found = sorted(name for name in known if name.endswith(f".{wanted}"))
    if len(found) > 1:
        raise CallError(Layer.REQUEST, f"{wanted!r} may be {' or '.join(found)}", "write more of its name")
    if not found:
        raise CallError(
            Layer.UNIMPLEMENTED, f"{who} serves no {wanted}{near(wanted, known)}", "`suho call --list` lists methods"
        )
    return found[0]


async def first_answering(addresses: Sequence[str], place: Place, timeout_s: float) -> str:
    """The first address where a gRPC server answers.

    Raises:
        CallError: none does; why the first one does not.
    """
    failures: list[CallError] = []
    for address in addresses:
        try:
            await check_server(address, place.tls, place.ca, timeout_s)
        except CallError as error:
            failures.append(error)
        else:
            return address
    raise failures[0]
