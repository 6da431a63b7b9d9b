"""`suho config set`, `put`, `edit`, `rollback`: each makes a version, of the one that was seen."""

import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import grpc
import typer
from suho.hub.v1 import config_pb2, config_pb2_grpc

from cli.config_reports import Heard, heard_of
from cli.config_values import assignments, differences, document, document_of, name_of, target_of, told, toml
from cli.connection import DEFAULT_STATE, TIMEOUT_S, JsonOption, StateOption, hub, run
from cli.drains import ByOption, who
from cli.instances import list_instances, nearest
from cli.output import EXIT_REFUSED, fail, print_json, to_dict
from mesh.environment import environment
from mesh.structs import struct_of, values_of

TargetArgument = Annotated[
    config_pb2.ConfigTarget, typer.Argument(parser=target_of, metavar="SERVICE[/INSTANCE]", help="Whose settings.")
]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why; everybody who looks will read it.")]

Values = Mapping[str, Any]


def set_(
    target: TargetArgument,
    reason: ReasonOption,
    values: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME=VALUE]...", help="A value is TOML or a text.")
    ] = None,
    unset: Annotated[list[str] | None, typer.Option("--unset", help="Take this one out; repeatable.")] = None,
    by: ByOption = "",
    state: StateOption = DEFAULT_STATE,
    as_json: JsonOption = False,
) -> None:
    """Change single values; the others stay."""
    given, gone = assignments(values or ()), unset or []
    if not given and not gone:
        fail("nothing is to be changed: name what, e.g. max_spread_points=30, or --unset NAME", 2)

    def changed(standing: Values) -> Values:
        for name in gone:
            if name not in standing:
                fail(f"{name_of(target)} has no value {name!r}{nearest(name, standing)}")
        return {name: value for name, value in {**standing, **given}.items() if name not in gone}

    _change(state, target, changed, reason, by, as_json)


def put(
    target: TargetArgument,
    file: Annotated[Path, typer.Argument(help="TOML, or one JSON object; '-': from standard input.")],
    reason: ReasonOption,
    by: ByOption = "",
    state: StateOption = DEFAULT_STATE,
    as_json: JsonOption = False,
) -> None:
    """Replace all values by those of a file."""
    values = document_of(file)
    _change(state, target, lambda _: values, reason, by, as_json)


def edit(
    target: TargetArgument,
    reason: ReasonOption,
    by: ByOption = "",
    state: StateOption = DEFAULT_STATE,
    as_json: JsonOption = False,
) -> None:
    """Change the values in your editor (VISUAL or EDITOR), as TOML."""

    def edited(standing: Values) -> Values:
        heading = f"# Settings of {name_of(target)}. Save to make a new version, leave unchanged to make none.\n\n"
        return document(_edited(heading + toml(standing)), "what you wrote")

    _change(state, target, edited, reason, by, as_json)


def rollback(
    target: TargetArgument,
    version: Annotated[int, typer.Argument(min=1, help="The one to go back to; see `suho config history`.")],
    reason: ReasonOption,
    by: ByOption = "",
    state: StateOption = DEFAULT_STATE,
    as_json: JsonOption = False,
) -> None:
    """Make a version with the values of an older one."""

    async def ask() -> tuple[Values, config_pb2.ConfigVersion, str]:
        async with hub(state) as channel:
            stub, standing = await _standing(channel, target)
            request = config_pb2.RollbackConfigRequest(
                target=target, version=version, reason=reason, by=by or who(), expected_version=standing.version
            )
            answer = await stub.RollbackConfig(request, timeout=TIMEOUT_S)
            return values_of(standing.values), answer.config, await _not_there(channel, target)

    _tell(state, target, *run(ask), as_json)


def delete(
    target: TargetArgument,
    reason: ReasonOption,
    by: ByOption = "",
    state: StateOption = DEFAULT_STATE,
    as_json: JsonOption = False,
) -> None:
    """Forget a target's settings and their history: for programs that are gone."""

    async def ask() -> config_pb2.DeleteConfigResponse:
        async with hub(state) as channel:
            stub = config_pb2_grpc.ConfigServiceStub(channel)
            request = config_pb2.DeleteConfigRequest(target=target, reason=reason, by=by or who())
            return await stub.DeleteConfig(request, timeout=TIMEOUT_S)

    deleted = run(ask).config
    if as_json:
        print_json({"target": to_dict(target), "deleted": {**to_dict(deleted), "values": values_of(deleted.values)}})
    elif deleted.version:
        print(f"nothing is kept for {name_of(target)} any more; it was at version {deleted.version}")
    else:
        print(f"nothing was kept for {name_of(target)}")


def _change(
    state: Path,
    target: config_pb2.ConfigTarget,
    change: Callable[[Values], Values],
    reason: str,
    by: str,
    as_json: bool,
) -> None:
    async def ask() -> tuple[Values, config_pb2.ConfigVersion, str]:
        async with hub(state) as channel:
            stub, standing = await _standing(channel, target)
            before = values_of(standing.values)
            request = config_pb2.PutConfigRequest(
                target=target,
                values=struct_of(change(before)),
                reason=reason,
                by=by or who(),
                expected_version=standing.version,
            )
            answer = await stub.PutConfig(request, timeout=TIMEOUT_S)
            return before, answer.config, await _not_there(channel, target)

    _tell(state, target, *run(ask), as_json)


def _edited(text: str) -> str:
    """As the person left it; ends the command where the editor fails."""
    editor = environment("VISUAL") or environment("EDITOR") or ("notepad" if sys.platform == "win32" else "vi")
    with TemporaryDirectory() as folder:
        file = Path(folder) / "settings.toml"
        file.write_text(text, "utf-8")
        try:
            subprocess.run([*shlex.split(editor, posix=sys.platform != "win32"), str(file)], check=True)
        except (OSError, ValueError, subprocess.CalledProcessError) as error:
            fail(f"the editor {editor!r} failed, nothing was changed: {error}; VISUAL names another")
        return file.read_text("utf-8")


async def _standing(
    channel: grpc.aio.Channel, target: config_pb2.ConfigTarget
) -> "tuple[config_pb2_grpc.ConfigServiceAsyncStub, config_pb2.ConfigVersion]":
    """The newest version; version 0 where there is none."""
    stub = config_pb2_grpc.ConfigServiceStub(channel)
    return stub, (await stub.GetConfig(config_pb2.GetConfigRequest(target=target), timeout=TIMEOUT_S)).config


async def _not_there(channel: grpc.aio.Channel, target: config_pb2.ConfigTarget) -> str:
    """A sentence where nothing of that name is registered: perhaps another was meant."""
    found = (await list_instances(channel)).instances
    services = {instance.service for instance in found}
    ids = {instance.id for instance in found if instance.service == target.service}
    if target.service not in services:
        return f"no instance of {target.service!r} is registered{nearest(target.service, services)}"
    if target.instance and target.instance not in ids:
        return f"no instance {target.instance!r} is registered{nearest(target.instance, ids)}"
    return ""


def _tell(
    state: Path,
    target: config_pb2.ConfigTarget,
    before: Values,
    version: config_pb2.ConfigVersion,
    not_there: str,
    as_json: bool,
) -> None:
    """Ends with status 1 where a program that follows these settings refuses them."""
    found = differences(before, values_of(version.values))
    heard = run(lambda: heard_of(state, target, version)) if found else Heard()
    if as_json:
        print_json({"target": to_dict(target), **to_dict(version), "values": values_of(version.values),
                    "differences": found, "taken": [to_dict(one) for one in heard.taken],
                    "refused": [to_dict(one) for one in heard.refused],
                    "silent": [to_dict(one) for one in heard.silent]})  # fmt: skip
    elif not found:
        print(f"{name_of(target)} stays at version {version.version}: these are its values")
    else:
        print(f"{name_of(target)} is at version {version.version}: {'; '.join(told(item) for item in found)}")
        if not_there:
            print(f"it is for what comes later: {not_there}")
        for line in heard.lines():
            print(line)
    if heard.refused:
        raise typer.Exit(EXIT_REFUSED)
