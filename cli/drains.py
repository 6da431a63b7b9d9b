"""`suho drain`, `undrain`, `drains`: instances are taken out of service, and put back."""

import getpass
import socket
from pathlib import Path
from typing import Annotated, Any

import typer
from suho.hub.v1 import maintenance_pb2, maintenance_pb2_grpc, registry_pb2

from cli.connection import DEFAULT_STATE, TIMEOUT_S, JsonOption, StateOption, hub, run
from cli.instances import list_instances
from cli.output import EXIT_UNREACHABLE, fail, print_json, print_table, to_dict, utc
from cli.under_way import Proof, prove_idle

_KINDS = ("instance", "service", "zone")

InstanceArgument = Annotated[str, typer.Argument(metavar="[INSTANCE]", help="Id of the instance.")]
InstanceOption = Annotated[str, typer.Option("--instance", help="The same as the argument.")]
ServiceOption = Annotated[str, typer.Option("--service", help="All instances of this service, later ones too.")]
ZoneOption = Annotated[str, typer.Option("--zone", help="All instances in this zone, later ones too.")]
ByOption = Annotated[str, typer.Option("--by", help="Who gives the order; otherwise USER@HOST.")]


def drain(
    reason: Annotated[str, typer.Option("--reason", help="Why; everybody who looks will read it.")],
    positional: InstanceArgument = "",
    instance: InstanceOption = "",
    service: ServiceOption = "",
    zone: ZoneOption = "",
    by: ByOption = "",
    out: Annotated[bool, typer.Option("--out", help="OUT_OF_SERVICE instead of DRAINING.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Even if a service has nothing left then, or nothing of that name is there.")
    ] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Until no call is under way in the drained instances.")] = False,
    timeout_s: Annotated[float, typer.Option("--timeout", min=0, help="With --wait: seconds at most.")] = 60.0,
    state: StateOption = DEFAULT_STATE,
    as_json: JsonOption = False,
) -> None:
    """New calls go elsewhere, those under way finish. It holds until `suho undrain`."""
    request = maintenance_pb2.DrainRequest(
        target=_target(positional or instance, service, zone, both=bool(positional and instance)),
        status=registry_pb2.INSTANCE_STATUS_OUT_OF_SERVICE if out else registry_pb2.INSTANCE_STATUS_DRAINING,
        reason=reason,
        by=by or who(),
        force=force,
    )
    given = run(lambda: _drain(state, request))
    if not as_json:
        print(f"drained {_named(given.drain.target)}: new calls go elsewhere ({_instances(list(given.instances))})")
    proofs = run(lambda: _prove(state, list(given.instances), timeout_s)) if wait else []
    if as_json:
        print_json({**to_dict(given), **({"under_way": [proof.facts() for proof in proofs]} if wait else {})})
    else:
        for proof in proofs:
            print(proof.sentence())
    if unproven := [proof.instance for proof in proofs if not proof.idle]:
        fail(f"not known to be without calls: {', '.join(unproven)}", EXIT_UNREACHABLE)


def undrain(
    positional: InstanceArgument = "",
    instance: InstanceOption = "",
    service: ServiceOption = "",
    zone: ZoneOption = "",
    by: ByOption = "",
    state: StateOption = DEFAULT_STATE,
    as_json: JsonOption = False,
) -> None:
    """Take an order of `suho drain` back."""
    target = _target(positional or instance, service, zone, both=bool(positional and instance))

    async def ask() -> maintenance_pb2.UndrainResponse:
        async with hub(state) as channel:
            stub = maintenance_pb2_grpc.MaintenanceServiceStub(channel)
            return await stub.Undrain(maintenance_pb2.UndrainRequest(target=target, by=by or who()), timeout=TIMEOUT_S)

    answer = run(ask)
    if as_json:
        print_json(to_dict(answer))
    else:
        print(f"the order about {_named(target)} is over ({_instances(list(answer.instances))} in service again)")
        if answer.still_drained:
            print(f"drained by another order, see `suho drains`: {', '.join(answer.still_drained)}")


def drains(state: StateOption = DEFAULT_STATE, as_json: JsonOption = False) -> None:
    """The orders in force."""

    async def ask() -> maintenance_pb2.ListDrainsResponse:
        async with hub(state) as channel:
            stub = maintenance_pb2_grpc.MaintenanceServiceStub(channel)
            return await stub.ListDrains(maintenance_pb2.ListDrainsRequest(), timeout=TIMEOUT_S)

    answer = run(ask)
    if as_json:
        print_json(to_dict(answer))
        return
    rows = [
        (_named(order.target), _status(order), order.reason, order.by, utc(order.since_unix_ms))
        for order in answer.drains
    ]
    print_table(("TARGET", "STATUS", "REASON", "BY", "SINCE"), rows, "nothing is drained")


def _target(instance: str, service: str, zone: str, both: bool) -> registry_pb2.DrainTarget:
    given = {name: value for name, value in zip(_KINDS, (instance, service, zone), strict=True) if value}
    if len(given) != 1 or both:
        raise typer.BadParameter("name exactly one of: an instance, --service, --zone")
    return registry_pb2.DrainTarget(**given)


def who() -> str:
    """Who gives an order, where it is not said."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a container's user may have none
        name = "somebody"
    return f"{name}@{socket.gethostname()}"


async def _drain(state: Path, request: maintenance_pb2.DrainRequest) -> maintenance_pb2.DrainResponse:
    async with hub(state) as channel:
        return await maintenance_pb2_grpc.MaintenanceServiceStub(channel).Drain(request, timeout=TIMEOUT_S)


async def _prove(state: Path, ids: list[str], timeout_s: float) -> list[Proof]:
    async with hub(state) as channel:
        instances = (await list_instances(channel)).instances
    return await prove_idle([instance for instance in instances if instance.id in ids], timeout_s)


def _named(target: registry_pb2.DrainTarget) -> str:
    kind = target.WhichOneof("kind") or "nothing"
    return f"{kind} {getattr(target, kind, '')}"


def _instances(ids: list[str]) -> str:
    return f"{len(ids)} instance{'' if len(ids) == 1 else 's'}: {', '.join(ids)}" if ids else "no instance yet"


def _status(order: registry_pb2.Drain) -> Any:
    return registry_pb2.InstanceStatus.Name(order.status).removeprefix("INSTANCE_STATUS_")
