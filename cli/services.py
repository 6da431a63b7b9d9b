"""`suho services`: the whole system, a line each."""

from pathlib import Path
from typing import Annotated, Any

import typer
from suho.hub.v1 import registry_pb2, registry_pb2_grpc

from cli.connection import DEFAULT_STATE, TIMEOUT_S, JsonOption, StateOption, hub, run
from cli.instances import list_instances, tell_service
from cli.output import print_json, print_table, to_dict, utc

_COUNTED = ("STARTING", "UP", "DRAINING", "OUT_OF_SERVICE", "DOWN", "EXPIRED")
_COLUMNS = ("SERVICE", "INSTANCES", "UP", "DRAINING", "DOWN", "SERVES", "DEPENDS ON")


def services(
    name: Annotated[str, typer.Argument(help="Its instances instead.")] = "",
    state: StateOption = DEFAULT_STATE,
    as_json: JsonOption = False,
) -> None:
    """Every service with its instances by status, what it serves and what it calls; alarms first."""
    if name:
        tell_service(state, name, as_json)
        return
    facts = run(lambda: _ask(state))
    if as_json:
        print_json(facts)
        return
    print_alarms(facts["alarms"], facts["self_preservation"])
    print_table(_COLUMNS, [_row(one) for one in facts["services"]], "no service is registered")


async def _ask(state: Path) -> dict[str, Any]:
    async with hub(state) as channel:
        answer = await list_instances(channel)
        stub = registry_pb2_grpc.RegistryServiceStub(channel)
        registry = await stub.GetRegistryState(registry_pb2.GetRegistryStateRequest(), timeout=TIMEOUT_S)
    return {
        "services": by_service([to_dict(item) for item in answer.instances]),
        "revision": answer.revision,
        "hub_id": registry.hub_id,
        "alarms": [to_dict(alarm) for alarm in registry.alarms],
        "self_preservation": to_dict(registry.self_preservation),
    }


def by_service(instances: list[dict[str, Any]]) -> list[dict[str, Any]]:
    services: dict[str, list[dict[str, Any]]] = {}
    for item in instances:
        services.setdefault(item["service"], []).append(item)
    return [_summary(name, members) for name, members in sorted(services.items())]


def _summary(service: str, members: list[dict[str, Any]]) -> dict[str, Any]:
    statuses = [item["status"].removeprefix("INSTANCE_STATUS_") for item in members]
    return {
        "service": service,
        "instances": len(members),
        **{name.lower(): statuses.count(name) for name in _COUNTED},
        "doubted": sum(item["doubted"] for item in members),
        "grpc_services": sorted({name for item in members for name in item["grpc_services"]}),
        "dependencies": sorted({name for item in members for name in item["dependencies"]}),
        "infrastructure": all(is_infrastructure(item) for item in members),
    }


def is_infrastructure(instance: dict[str, Any]) -> bool:
    """An engine, registered by a hub for people to see, not by itself."""
    return bool(instance["metadata"].get("infrastructure") == "true")


def _row(one: dict[str, Any]) -> tuple[object, ...]:
    return (
        one["service"],
        one["instances"],
        one["up"],
        one["draining"] + one["out_of_service"],
        one["down"] + one["expired"],
        "(infrastructure)" if one["infrastructure"] else " ".join(one["grpc_services"]) or "-",
        " ".join(one["dependencies"]) or "-",
    )


def print_alarms(alarms: list[dict[str, Any]], self_preservation: dict[str, Any] | None) -> None:
    """What people should know first; nothing when all is well."""
    for alarm in alarms:
        print(f"ALARM {alarm['kind']} since {utc(alarm['since_unix_ms'])}: {alarm['text']}")
    if self_preservation and self_preservation["protecting"]:
        print(
            f"SELF-PRESERVATION since {utc(self_preservation['since_unix_ms'])}: {self_preservation['waiting']} silent "
            f"instances are kept for now, {self_preservation['expired']} expired"
        )
