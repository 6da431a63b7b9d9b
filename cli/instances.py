"""`suho instances`: who runs, and everything that is known of one."""

import difflib
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any

import grpc
import typer
from suho.hub.v1 import registry_pb2, registry_pb2_grpc

from cli.connection import DEFAULT_STATE, TIMEOUT_S, JsonOption, StateOption, hub, run
from cli.output import fail, print_json, print_table, since, to_dict, utc

_COLUMNS = ("ID", "SERVICE", "VERSION", "STATUS", "WHY", "ADDRESS", "ZONE", "WEIGHT", "HUB", "HEALTH", "SINCE")


def instances(
    service: Annotated[str, typer.Argument(help="Only this service's.")] = "",
    instance_id: Annotated[str, typer.Option("--id", help="Everything that is known of this instance.")] = "",
    history: Annotated[bool, typer.Option("--history", help="With --id: its last 24 hours.")] = False,
    state: StateOption = DEFAULT_STATE,
    as_json: JsonOption = False,
) -> None:
    """Every registered instance, or one service's, or everything about one."""
    if history and not instance_id:
        raise typer.BadParameter("it is one instance's; name it with --id", param_hint="--history")
    if instance_id:
        _tell_one(state, service, instance_id, history, as_json)
        return
    tell_service(state, service, as_json)


def tell_service(state: Path, service: str, as_json: bool) -> None:
    """The instances of a service that there is, or all."""

    async def ask() -> registry_pb2.ListInstancesResponse:
        async with hub(state) as channel:
            answer = await list_instances(channel, service)
            if service and not answer.instances:
                stub = registry_pb2_grpc.RegistryServiceStub(channel)
                known = await stub.ListServices(registry_pb2.ListServicesRequest(), timeout=TIMEOUT_S)
                fail(f"no instance of {service!r} is registered{nearest(service, [s.service for s in known.services])}")
            return answer

    answer = run(ask)
    found = [to_dict(instance) for instance in answer.instances]
    if as_json:
        print_json({"instances": found, "revision": answer.revision})
    else:
        print_instances(found)


async def list_instances(channel: grpc.aio.Channel, service: str = "") -> registry_pb2.ListInstancesResponse:
    """All pages in one, with the first one's revision: a watch from there tells what changed meanwhile."""
    stub = registry_pb2_grpc.RegistryServiceStub(channel)
    request = registry_pb2.ListInstancesRequest(service=service)
    answer = await stub.ListInstances(request, timeout=TIMEOUT_S)
    page = answer
    while page.page.next_token:
        request.page.token = page.page.next_token
        page = await stub.ListInstances(request, timeout=TIMEOUT_S)
        answer.instances.extend(page.instances)
    return answer


def print_instances(found: list[dict[str, Any]]) -> None:
    """A table of instances as `to_dict` gives them, ordered by service."""
    rows = [
        (
            item["id"],
            item["service"],
            item["version"] or "-",
            status_of(item),
            item["status_reason"] or "-",
            _addresses(item),
            item["zone"] or "-",
            item["weight"],
            item["hub"] or "-",
            verdict_of(item) or "-",
            since(item["registered_unix_ms"]),
        )
        for item in sorted(found, key=lambda item: (item["service"], item["id"]))
    ]
    print_table(_COLUMNS, rows, "no instance is registered")


def status_of(instance: dict[str, Any]) -> str:
    """UP, DRAINING, …; doubted ones are said to be."""
    name: str = instance["status"].removeprefix("INSTANCE_STATUS_")
    return f"{name}, doubted" if instance["doubted"] else name


def verdict_of(instance: dict[str, Any]) -> str:
    """PASSING, FAILING, …; empty where nothing was probed."""
    health = instance["health"]
    name: str = health["verdict"].removeprefix("HEALTH_VERDICT_") if health else ""
    return "" if name in ("UNSPECIFIED", "UNKNOWN") else name


def _addresses(instance: dict[str, Any]) -> str:
    return " ".join(f"{address['host']}:{address['port']}" for address in instance["addresses"]) or "-"


def nearest(name: str, known: Collection[str]) -> str:
    """What was meant, or what there is: the end of a sentence."""
    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; there are: {', '.join(sorted(known)) or 'none'}"


def _tell_one(state: Path, service: str, instance_id: str, history: bool, as_json: bool) -> None:
    found, events = run(lambda: _ask_one(state, service, instance_id, history))
    if as_json:
        print_json({"instance": found, **({"history": events} if history else {})})
        return
    if found is not None:
        _print_one(found)
    if history:
        print_table(_EVENT_COLUMNS, [_event_row(event) for event in events], "nothing happened in the last 24 hours")


async def _ask_one(
    state: Path, service: str, instance_id: str, history: bool
) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
    async with hub(state) as channel:
        answer = await list_instances(channel, service)
        found = next((to_dict(item) for item in answer.instances if item.id == instance_id), None)
        events = []
        if history:
            stub = registry_pb2_grpc.RegistryServiceStub(channel)
            request = registry_pb2.GetHealthHistoryRequest(instance_id=instance_id)
            events = [to_dict(one) for one in (await stub.GetHealthHistory(request, timeout=TIMEOUT_S)).events]
    if found is None and not events:
        ids = [item.id for item in answer.instances]
        fail(f"no instance {instance_id!r} is registered{nearest(instance_id, ids)}")
    return found, events


def _print_one(item: dict[str, Any]) -> None:
    health, order = item["health"], item["drain"]
    facts = {
        "id": item["id"],
        "service": f"{item['service']} {item['version']}".strip(),
        "status": _because(status_of(item), item["status_reason"]),
        "its own word": _because(item["reported_status"].removeprefix("INSTANCE_STATUS_"), item["reported_reason"]),
        "health": _health(health) if verdict_of(item) else "",
        "order": f"{order['by']}, {utc(order['since_unix_ms'])}: {order['reason']}" if order else "",
        "addresses": ", ".join(_address(address) for address in item["addresses"]),
        "zone": item["zone"],
        "weight": item["weight"],
        "hub": item["hub"],
        "process": item["process_id"] or "",
        "registered": utc(item["registered_unix_ms"]),
        "revision": item["revision"],
        "serves": ", ".join(item["grpc_services"]),
        "depends on": ", ".join(item["dependencies"]),
        "metadata": ", ".join(f"{key}={value}" for key, value in sorted(item["metadata"].items())),
    }
    for name, value in facts.items():
        if value != "":
            print(f"{name + ':':<14}{value}")


def _because(what: str, reason: str) -> str:
    return f"{what} ({reason})" if reason else what


def _health(health: dict[str, Any]) -> str:
    told = f"{health['verdict'].removeprefix('HEALTH_VERDICT_')} since {utc(health['since_unix_ms'])}"
    if health["held_until_unix_ms"]:
        told += f", held until {utc(health['held_until_unix_ms'])}"
    return f"{told}; last error: {health['last_error']}" if health["last_error"] else told


def _address(address: dict[str, Any]) -> str:
    told = f"{address['name']} {address['host']}:{address['port']}"
    if address["published_host"] or address["published_port"]:
        published = f"{address['published_host'] or address['host']}:{address['published_port'] or address['port']}"
        told += f" (outside {published})"
    return told


_EVENT_COLUMNS = ("TIME", "HUB", "STATUS", "WHY", "PROBES", "FAILED", "SLOWEST MS", "LAST ERROR")


def _event_row(event: dict[str, Any]) -> tuple[object, ...]:
    probed = event["probes"]
    return (
        utc(event["unix_ms"]),
        event["hub"] or "-",
        event["status"].removeprefix("INSTANCE_STATUS_"),
        event["reason"] or "-",
        probed or "-",
        event["failed"] if probed else "-",
        f"{event['slowest_ms']:.1f}" if probed else "-",
        event["last_error"] or "-",
    )
