"""`suho config`: what the mesh keeps for its programs, as it is and as it was."""

from typing import Annotated, Any

import typer
from suho.hub.v1 import config_pb2, config_pb2_grpc

from cli import config_changes, config_watch
from cli.config_reports import notes_of, reports
from cli.config_values import differences, name_of, shown, target_of, told
from cli.connection import DEFAULT_STATE, TIMEOUT_S, JsonOption, StateOption, hub, run
from cli.output import EXIT_REFUSED, fail, print_json, print_table, to_dict, utc
from mesh.structs import values_of

app = typer.Typer(no_args_is_help=True, help="Settings that the mesh keeps for programs, in versions.")
app.command("set")(config_changes.set_)
app.command()(config_changes.put)
app.command()(config_changes.edit)
app.command()(config_changes.rollback)
app.command()(config_changes.delete)
app.command()(config_watch.watch)

TargetArgument = Annotated[
    config_pb2.ConfigTarget, typer.Argument(parser=target_of, metavar="SERVICE[/INSTANCE]", help="Whose settings.")
]


@app.command("list")
def list_(
    service: Annotated[str, typer.Argument(help="Only of this service and its instances.")] = "",
    state: StateOption = DEFAULT_STATE,
    as_json: JsonOption = False,
) -> None:
    """Every service and instance that settings are kept for."""

    async def ask() -> config_pb2.ListConfigsResponse:
        async with hub(state) as channel:
            stub = config_pb2_grpc.ConfigServiceStub(channel)
            return await stub.ListConfigs(config_pb2.ListConfigsRequest(service=service), timeout=TIMEOUT_S)

    answer = run(ask)
    if as_json:
        print_json(to_dict(answer))
        return
    rows = [
        (name_of(one.target), one.newest.version, one.values, utc(one.newest.changed_unix_ms), one.newest.by,
         one.newest.reason)
        for one in answer.configs
    ]  # fmt: skip
    print_table(("TARGET", "VERSION", "VALUES", "CHANGED", "BY", "REASON"), rows, "nothing is kept")


@app.command()
def get(
    target: TargetArgument,
    version: Annotated[int, typer.Option(min=0, help="An older one; 0: the newest.")] = 0,
    state: StateOption = DEFAULT_STATE,
    as_json: JsonOption = False,
) -> None:
    """What counts: for an instance, its service's values under its own. With --version, that document alone."""

    async def ask() -> config_pb2.GetConfigResponse:
        async with hub(state) as channel:
            stub = config_pb2_grpc.ConfigServiceStub(channel)
            return await stub.GetConfig(config_pb2.GetConfigRequest(target=target, version=version), timeout=TIMEOUT_S)

    answer = run(ask)
    if as_json:
        print_json({"config": version_facts(answer.config) if answer.HasField("config") else None,
                    "effective": effective_facts(answer.effective)})  # fmt: skip
        return
    own = values_of(answer.config.values)
    values = own if version else values_of(answer.effective.values)
    level = "instance" if target.instance else "service"
    rows = [(name, shown(value), level if name in own else "service") for name, value in values.items()]
    print_table(("NAME", "VALUE", "OF"), rows, f"nothing is kept for {name_of(target)}")
    versions = [answer.config] if version else [answer.effective.of_service, answer.effective.of_instance]
    for made in versions:
        if made.version:
            print(_made(made))


@app.command()
def history(target: TargetArgument, state: StateOption = DEFAULT_STATE, as_json: JsonOption = False) -> None:
    """The versions held, newest first, each with what it changed."""
    versions = run(lambda: _history(state, target))
    if as_json:
        print_json({"target": to_dict(target), "versions": [version_facts(one) for one in versions]})
        return
    before = [*(values_of(one.values) for one in versions[1:]), {}][: len(versions)]
    rows = [
        (one.version, utc(one.changed_unix_ms), one.by, one.reason + _from(one), _changed(was, one))
        for one, was in zip(versions, before, strict=True)
    ]
    print_table(("VERSION", "CHANGED", "BY", "REASON", "CHANGES"), rows, f"nothing was ever kept for {name_of(target)}")


@app.command()
def diff(
    target: TargetArgument,
    one: Annotated[int | None, typer.Argument(min=1, help="A version; otherwise the one before the other.")] = None,
    other: Annotated[int | None, typer.Argument(min=1, help="Another; otherwise the newest.")] = None,
    state: StateOption = DEFAULT_STATE,
    as_json: JsonOption = False,
) -> None:
    """What is different from one version to another."""
    versions = {item.version: item for item in run(lambda: _history(state, target))}
    if not versions:
        fail(f"nothing was ever kept for {name_of(target)}")
    after = other or max(versions)
    before = one or after - 1
    for number in (before, after):
        if number and number not in versions:
            fail(f"{name_of(target)} has no version {number}; held are {min(versions)} to {max(versions)}")
    was = values_of(versions[before].values) if before else {}
    found = differences(was, values_of(versions[after].values))
    if as_json:
        print_json({"target": to_dict(target), "from": before, "to": after, "differences": found})
        return
    for item in found:
        print(told(item))
    if not found:
        print(f"versions {before} and {after} are the same")


@app.command()
def status(state: StateOption = DEFAULT_STATE, as_json: JsonOption = False) -> None:
    """Which versions the programs run that follow their settings, and who refused one; status 1 where somebody did."""

    found = run(lambda: reports(state))
    if as_json:
        print_json({"reports": [to_dict(report) for report in found]})
    else:
        rows = [
            (name_of(one.target), one.service_version or "-", one.instance_version or "-", one.refusal or "-",
             notes_of(one) or "-")
            for one in found
        ]  # fmt: skip
        print_table(
            ("INSTANCE", "SERVICE'S", "ITS OWN", "REFUSES", "NOT IN FORCE"), rows, "no program follows its settings"
        )
    if any(one.refusal for one in found):
        raise typer.Exit(EXIT_REFUSED)


def version_facts(version: config_pb2.ConfigVersion) -> dict[str, Any]:
    """A version for programs."""
    return {**to_dict(version), "values": values_of(version.values)}


def effective_facts(effective: config_pb2.EffectiveConfig) -> dict[str, Any]:
    """What counts, for programs."""
    facts = {**to_dict(effective), "values": values_of(effective.values)}
    for name in ("of_service", "of_instance"):
        if facts[name] is not None:
            del facts[name]["values"]
    return facts


async def _history(state: Any, target: config_pb2.ConfigTarget) -> list[config_pb2.ConfigVersion]:
    async with hub(state) as channel:
        stub = config_pb2_grpc.ConfigServiceStub(channel)
        request = config_pb2.GetConfigHistoryRequest(target=target)
        return list((await stub.GetConfigHistory(request, timeout=TIMEOUT_S)).versions)


def _made(version: config_pb2.ConfigVersion) -> str:
    return (
        f"version {version.version}, {utc(version.changed_unix_ms)}, by {version.by}: {version.reason}{_from(version)}"
    )


def _from(version: config_pb2.ConfigVersion) -> str:
    return f" (back to {version.rolled_back_to})" if version.rolled_back_to else ""


def _changed(was: dict[str, Any], version: config_pb2.ConfigVersion) -> str:
    return "; ".join(told(item) for item in differences(was, values_of(version.values))) or "-"
