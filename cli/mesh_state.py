"""`suho mesh`: the hubs themselves, and who was told what."""

from typing import Any

import grpc
import typer
from suho.hub.v1 import registry_pb2, registry_pb2_grpc, traffic_pb2, traffic_pb2_grpc

from cli import policies
from cli.answers import Answer
from cli.connection import DEFAULT_STATE, TIMEOUT_S, JsonOption, StateOption, run
from cli.hubs import ask_every_hub
from cli.output import print_json, print_table, since, to_dict, utc

app = typer.Typer(no_args_is_help=True, help="The hubs, the clients they steer, and policies.")
app.add_typer(policies.app, name="policy")

# In the order in which a client asks for them.
_KINDS = "listener routes cluster endpoints"
# Of a resource's version: enough to tell two apart.
_VERSION = 8

_HUB_COLUMNS = (
    *("HUB", "ADDRESS", "STORE", "ATTACHED", "REVISION", "INSTANCES", "LEASES", "WATCHERS", "CLIENTS", "HEARS"),
)


@app.command("state")
def mesh_state(state: StateOption = DEFAULT_STATE, as_json: JsonOption = False) -> None:
    """How every hub stands: its store, whom it hears, self-preservation, alarms."""

    async def ask(channel: grpc.aio.Channel) -> registry_pb2.GetRegistryStateResponse:
        stub = registry_pb2_grpc.RegistryServiceStub(channel)
        return await stub.GetRegistryState(registry_pb2.GetRegistryStateRequest(), timeout=TIMEOUT_S)

    hubs = [_facts(answer) for answer in run(lambda: ask_every_hub(state, ask))]
    if as_json:
        print_json({"hubs": hubs})
        return
    for alarm in alarm_lines(hubs):
        print(alarm)
    print_table(_HUB_COLUMNS, [_hub_row(one) for one in hubs], "")
    for one in hubs:
        if one["state"] is None:
            print(f"{one['address']} does not answer: {one['because']}")


def _facts(answer: Answer[Any]) -> dict[str, Any]:
    told = None if answer.answer is None else to_dict(answer.answer)
    return {"address": answer.of, "state": told, "because": answer.because}


def alarm_lines(hubs: list[dict[str, Any]]) -> list[str]:
    """Each once, with the hubs that raise it; alarms of the whole mesh are raised by all."""
    raised: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for one in hubs:
        for alarm in one["state"]["alarms"] if one["state"] else ():
            raised.setdefault((alarm["kind"], alarm["text"]), []).append({**alarm, "hub": one["state"]["hub_id"]})
    return [
        f"ALARM {kind} since {utc(min(one['since_unix_ms'] for one in found))}: {text} "
        f"({', '.join(one['hub'] for one in found)})"
        for (kind, text), found in raised.items()
    ]


def _hub_row(one: dict[str, Any]) -> tuple[object, ...]:
    told = one["state"]
    if told is None:
        return ("-", one["address"], "-", "no answer", *("-",) * 6)
    hears = [
        f"{peer['hub_id']} {'' if peer['heard'] else 'NOT '}{peer['heard_ms_ago'] / 1000:.1f} s ago"
        for peer in told["hubs"]
        if peer["hub_id"] != told["hub_id"]
    ]
    attached = ("yes" if told["attached"] else "NO") + f", since {since(told['since_unix_ms'])}"
    counts = (told[name] for name in ("revision", "instances", "leases", "watchers", "discovery_streams"))
    return (told["hub_id"], one["address"], told["store"], attached, *counts, ", ".join(hears) or "-")


@app.command()
def clients(state: StateOption = DEFAULT_STATE, as_json: JsonOption = False) -> None:
    """Every xDS client of every hub: which versions it runs, what it refused and why, what it waits for."""

    async def ask(channel: grpc.aio.Channel) -> traffic_pb2.ListClientsResponse:
        stub = traffic_pb2_grpc.TrafficServiceStub(channel)
        return await stub.ListClients(traffic_pb2.ListClientsRequest(), timeout=TIMEOUT_S)

    answers = run(lambda: ask_every_hub(state, ask))
    silent = [{"address": one.of, "because": one.because} for one in answers if one.answer is None]
    found = [
        {"hub": one.answer.hub_id, **to_dict(client)}
        for one in answers
        if one.answer is not None
        for client in one.answer.clients
    ]
    found.sort(key=lambda client: (client["node_id"], client["hub"], client["peer"]))
    if as_json:
        print_json({"clients": found, "silent_hubs": silent})
        return
    print_table(
        ("CLIENT", "CALLS ITSELF", "ZONE", "HUB", "FROM", "SINCE", "RUNS", "TROUBLE"),
        [_client_row(client) for client in found],
        "no client has a discovery stream",
    )
    for one in silent:
        print(f"{one['address']} does not answer, its clients are not told: {one['because']}")


def _client_row(client: dict[str, Any]) -> tuple[object, ...]:
    return (
        client["node_id"],
        client["cluster"] or "-",
        client["zone"] or "-",
        client["hub"],
        client["peer"],
        since(client["connected_unix_ms"]),
        runs(client),
        "; ".join(trouble for one in client["resources"] for trouble in troubles(one)) or "-",
    )


def runs(client: dict[str, Any]) -> str:
    """The version of each kind that a client runs."""
    versions = {one["kind"]: one["running_version"][:_VERSION] or "nothing" for one in client["resources"]}
    return ", ".join(f"{kind} {versions[kind]}" for kind in sorted(versions, key=_KINDS.find)) or "-"


def troubles(resource: dict[str, Any]) -> list[str]:
    """What is not as it should be with one kind of resource."""
    kind, sent = resource["kind"], resource["sent_version"][:_VERSION]
    told = [f"{kind} {name}: {why}" for name, why in sorted(resource["missing"].items())]
    if resource["refusal"]:
        told.append(f"refused {kind} {sent} at {utc(resource['refused_unix_ms'])}: {resource['refusal']}")
    elif resource["sent_version"] != resource["running_version"]:
        told.append(f"lags: {kind} {sent} was sent")
    return told
