"""`suho call --list`: what can be called, of the mesh or of one server."""

from typing import Any

import grpc

from cli.call_failure import CallError, failure_of
from cli.call_messages import one_line
from cli.call_reflection import Metadata, Reflection
from cli.call_route import Place, first_answering, match, named, offering, registered
from cli.output import print_json
from mesh.channel import named_channel


async def list_services(place: Place, wanted: str, headers: Metadata, timeout_s: float, as_json: bool) -> None:
    """Print services with their methods; one of them when `wanted` names it. A server of the mesh that does not answer
    is an entry with an error.

    Raises:
        CallError: the one server that was asked does not answer, or nothing is called `wanted`.
    """
    if place.through_mesh:
        found = await _of_mesh(place, wanted, headers, timeout_s)
    else:
        address = place.address or named(await registered(place.state, timeout_s), place.instance)
        found = await _of_server(place, [address], None, wanted, headers, timeout_s)
    if as_json:
        print_json({"services": found})
        return
    for service in found:
        print(service["service"], *service.get("instances", ()))
        for method in service["methods"]:
            print(f"  {method}")
        if "error" in service:
            print(f"  ! {service['error']}")


async def _of_mesh(place: Place, wanted: str, headers: Metadata, timeout_s: float) -> list[dict[str, Any]]:
    instances = await registered(place.state, timeout_s)
    names = sorted({name for instance in instances for name in instance.grpc_services})
    if wanted:
        names = [match(wanted, names, "the mesh")]
    found = []
    for name in names:
        servers = [instance.id for instance in offering(instances, name)]
        entry: dict[str, Any] = {"service": name, "instances": servers, "methods": []}
        addresses = [named(instances, server) for server in servers]
        try:
            if addresses:
                [told] = await _of_server(place, addresses, name, "", headers, timeout_s)
                entry |= told
        except CallError as error:
            entry["error"] = error.message
        found.append(entry)
    return found


async def _of_server(
    place: Place, addresses: list[str], name: str | None, wanted: str, headers: Metadata, timeout_s: float
) -> list[dict[str, Any]]:
    """`name`, or all that the first server that answers has."""
    address = await first_answering(addresses, place, timeout_s)
    async with named_channel(address, place.credentials()) as channel:
        reflection = Reflection(channel, timeout_s, headers)
        try:
            names = [name] if name else await reflection.services()
            if wanted:
                names = [match(wanted, names, address)]
            return [await _entry(reflection, one) for one in names]
        except grpc.aio.AioRpcError as error:
            raise failure_of(error) from None


async def _entry(reflection: Reflection, name: str) -> dict[str, Any]:
    try:
        service = await reflection.service(name)
    except CallError as error:  # listed, and without a contract
        return {"service": name, "methods": [], "error": error.message}
    return {"service": name, "methods": [one_line(method) for method in service.methods]}
