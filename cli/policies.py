"""`suho mesh policy`: deadlines, retries, limits and canaries by service."""

from typing import Annotated, Any

import grpc
import typer
from suho.hub.v1 import traffic_pb2, traffic_pb2_grpc

from cli.connection import DEFAULT_STATE, TIMEOUT_S, JsonOption, StateOption, hub, run
from cli.drains import ByOption, who
from cli.instances import nearest
from cli.output import fail, print_json, print_table, to_dict

app = typer.Typer(no_args_is_help=True, help="How calls to a service travel.")

ServiceArgument = Annotated[str, typer.Argument(help="The service that is called.")]

# gRPC's own, for what is left out of the first --outlier option.
_OUTLIER = traffic_pb2.OutlierDetection(
    interval_ms=10_000,
    base_ejection_ms=30_000,
    max_ejection_percent=10,
    failure_percent=85,
    minimum_hosts=5,
    request_volume=50,
)


@app.command("list")
def list_(state: StateOption = DEFAULT_STATE, as_json: JsonOption = False) -> None:
    """The policy in force for every service."""

    async def ask() -> traffic_pb2.ListPoliciesResponse:
        async with hub(state) as channel:
            return await _list(channel)

    answer = run(ask)
    if as_json:
        print_json(to_dict(answer))
        return
    columns = ("SERVICE", "TIMEOUT", "ATTEMPTS", "RETRIED ON", "MAX REQUESTS", "OUTLIERS", "CANARY", "BY", "REASON")
    print_table(columns, [_row(policy) for policy in answer.policies], "no service is registered")


@app.command("set")
def set_(
    service: ServiceArgument,
    timeout_ms: Annotated[
        int | None, typer.Option(metavar="N", min=0, help="Deadline of unary calls that bring none; 0: none.")
    ] = None,
    attempts: Annotated[
        int | None, typer.Option(metavar="N", min=1, max=5, help="With the first; 1: never repeat.")
    ] = None,
    retry_on: Annotated[list[str] | None, typer.Option(help="Status, e.g. unavailable; repeatable.")] = None,
    max_requests: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Calls under way of one client process.")
    ] = None,
    outlier_failure_percent: Annotated[
        int | None, typer.Option(metavar="N", min=1, max=100, help="Take out what fails so often.")
    ] = None,
    outlier_interval_ms: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="How often instances are judged.")
    ] = None,
    outlier_ejection_ms: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="How long one stays out, the first time.")
    ] = None,
    outlier_max_percent: Annotated[
        int | None, typer.Option(metavar="N", min=1, max=100, help="Most that are out at once.")
    ] = None,
    outlier_minimum_hosts: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Not judged with fewer instances.")
    ] = None,
    outlier_volume: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Nor with fewer calls in an interval.")
    ] = None,
    no_outlier: Annotated[bool, typer.Option("--no-outlier", help="Take nothing out.")] = False,
    canary_header: Annotated[str | None, typer.Option(help="Calls with this header …")] = None,
    canary_value: Annotated[str | None, typer.Option(help="… of this value …")] = None,
    canary_version: Annotated[str | None, typer.Option(help="… go to instances of this version.")] = None,
    no_canary: Annotated[bool, typer.Option("--no-canary", help="End the canary.")] = False,
    reason: Annotated[str, typer.Option(help="Why, for the record.")] = "",
    by: ByOption = "",
    state: StateOption = DEFAULT_STATE,
    as_json: JsonOption = False,
) -> None:
    """Change a service's policy; what is not named stays as it is."""
    plain = {"timeout_ms": timeout_ms, "max_requests": max_requests}
    retry = {"max_attempts": attempts, "retry_on": retry_on or None}
    outlier = {
        "failure_percent": outlier_failure_percent,
        "interval_ms": outlier_interval_ms,
        "base_ejection_ms": outlier_ejection_ms,
        "max_ejection_percent": outlier_max_percent,
        "minimum_hosts": outlier_minimum_hosts,
        "request_volume": outlier_volume,
    }
    canary = {"header": canary_header, "value": canary_value, "version": canary_version}
    _check(plain | retry, outlier, canary, no_outlier, no_canary)

    async def ask() -> tuple[traffic_pb2.ServicePolicy, str]:
        async with hub(state) as channel:
            standing = {policy.service: policy for policy in (await _list(channel)).policies}
            policy = standing.get(service, traffic_pb2.ServicePolicy(service=service))
            _merge(policy, plain)
            if _given(retry):
                _merge(policy.retry, retry)
            _replace(policy, "outlier_detection", outlier, no_outlier, _OUTLIER)
            _replace(policy, "canary", canary, no_canary, traffic_pb2.Canary())
            policy.reason, policy.by = reason, by or who()
            stub = traffic_pb2_grpc.TrafficServiceStub(channel)
            request = traffic_pb2.PutPolicyRequest(policy=policy, expected_revision=policy.revision)
            answer = await stub.PutPolicy(request, timeout=TIMEOUT_S)
            return answer.policy, "" if service in standing else nearest(service, standing)

    policy, meant = run(ask)
    if as_json:
        print_json(to_dict(policy))
    else:
        print(f"calls to {service} travel by the new policy: {_sentence(policy)}")
        if meant:
            print(f"it is for what comes later: no instance of {service!r} is registered{meant}")


@app.command()
def delete(service: ServiceArgument, state: StateOption = DEFAULT_STATE, as_json: JsonOption = False) -> None:
    """Back to the default policy."""

    async def ask() -> traffic_pb2.DeletePolicyResponse:
        async with hub(state) as channel:
            stub = traffic_pb2_grpc.TrafficServiceStub(channel)
            return await stub.DeletePolicy(traffic_pb2.DeletePolicyRequest(service=service), timeout=TIMEOUT_S)

    answer = run(ask)
    if as_json:
        print_json(to_dict(answer))
    else:
        print(f"calls to {service} travel by the default policy")


async def _list(channel: grpc.aio.Channel) -> traffic_pb2.ListPoliciesResponse:
    stub = traffic_pb2_grpc.TrafficServiceStub(channel)
    return await stub.ListPolicies(traffic_pb2.ListPoliciesRequest(), timeout=TIMEOUT_S)


def _check(others: dict[str, Any], outlier: dict[str, Any], canary: dict[str, Any], *ends: bool) -> None:
    """Refuse a command line that says nothing, or two things."""
    no_outlier, no_canary = ends
    if no_outlier and _given(outlier):
        raise typer.BadParameter("--outlier-… and --no-outlier contradict each other")
    if no_canary and _given(canary):
        raise typer.BadParameter("--canary-… and --no-canary contradict each other")
    if not (_given(others) or _given(outlier) or _given(canary) or any(ends)):
        fail("nothing is to be changed: name what, e.g. --timeout-ms 500", 2)


def _given(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _merge(message: Any, options: dict[str, Any]) -> None:
    for name, value in _given(options).items():
        if isinstance(value, list):
            message.ClearField(name)
            getattr(message, name).extend(value)
        else:
            try:
                setattr(message, name, value)
            except ValueError:
                fail(f"{name} {value} is beyond all that a policy can say", 2)


def _replace(policy: traffic_pb2.ServicePolicy, name: str, options: dict[str, Any], end: bool, default: Any) -> None:
    """A part that is there or not: ended, begun from `default`, or changed."""
    if end:
        policy.ClearField(name)  # type: ignore[arg-type]
    elif _given(options):
        part = getattr(policy, name)
        if not policy.HasField(name):  # type: ignore[arg-type]
            part.CopyFrom(default)
        _merge(part, options)


def _row(policy: traffic_pb2.ServicePolicy) -> tuple[object, ...]:
    outlier, canary = policy.outlier_detection, policy.canary
    return (
        policy.service,
        f"{policy.timeout_ms} ms" if policy.timeout_ms else "-",
        policy.retry.max_attempts,
        " ".join(policy.retry.retry_on),
        policy.max_requests,
        f"out at {outlier.failure_percent} % failed" if policy.HasField("outlier_detection") else "-",
        f"{canary.header}: {canary.value} → {canary.version}" if policy.HasField("canary") else "-",
        policy.by or "-",
        policy.reason or "-",
    )


def _sentence(policy: traffic_pb2.ServicePolicy) -> str:
    _, timeout, attempts, retried_on, most, outlier, canary, *_ = _row(policy)
    told = {"deadline": timeout, "attempts": f"{attempts} on {retried_on}", "at once": most, "outliers": outlier,
            "canary": canary}  # fmt: skip
    return ", ".join(f"{name} {value}" for name, value in told.items() if value != "-")
