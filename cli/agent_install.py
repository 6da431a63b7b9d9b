"""`suho agent install|uninstall`: the agent starts when the person logs on."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from cli.agent_config import FileOption, checked_file
from cli.connection import JsonOption
from cli.output import fail, print_json
from pc_agent.autostart import AutostartError, file_of, forgetting, is_known, registering, run, start_of, text_of
from pc_agent.paths import log_folder

_SYSTEMS = {"windows": "win32", "macos": "darwin", "linux": "linux"}
_OWN = "win32" if sys.platform == "win32" else "darwin" if sys.platform == "darwin" else "linux"

SystemOption = Annotated[
    str, typer.Option("--system", help=f"For another system, with --output: {', '.join(_SYSTEMS)}.")
]


def install(
    config: FileOption = None,
    output: Annotated[
        Path | None, typer.Option("--output", help="Only write what the system would be told, into this file.")
    ] = None,
    system: SystemOption = "",
    as_json: JsonOption = False,
) -> None:
    """Start the agent now and at each log-on: by Task Scheduler on Windows, systemd or launchd elsewhere.

    Windows starts one that failed again after a minute, the shortest that it can; systemd after 1, 2, 4 … 64 s.
    """
    if system and system not in _SYSTEMS:
        raise typer.BadParameter(f"one of {', '.join(_SYSTEMS)}", param_hint="--system")
    target = _SYSTEMS.get(system, _OWN)
    if target != _OWN and output is None:
        raise typer.BadParameter(
            "another system's file is only written: say where with --output", param_hint="--system"
        )
    file, settings = checked_file(config)
    file = file.absolute()
    text, encoding = text_of(start_of(file, None if settings.log_dir else log_folder()), target)
    place = output or file_of(target, Path.home())
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text, encoding, newline="\n")
    commands = registering(target, place)
    if output is None:
        _run(commands, f"{place} is written, but the system does not take it")
    if as_json:
        print_json({"file": str(place), "settings": str(file), "installed": output is None, "commands": commands})
    elif output is None:
        print(f"the agent runs, and starts when you log on; its settings are {file}")
    else:
        # Only Windows takes the file from anywhere.
        belongs = file_of(target, Path("~") if target != _OWN else Path.home())
        move = [] if target == "win32" or place.absolute() == belongs else [f"put it to {belongs}"]
        steps = [*move, *(" ".join(command) for command in registering(target, place if not move else belongs))]
        print(f"{place} is written; the system does not know it yet: {'; '.join(steps)}")


def uninstall(as_json: JsonOption = False) -> None:
    """Do not start the agent any more, whichever settings it was installed with."""
    place = file_of(_OWN, Path.home())
    try:
        known = is_known(_OWN, place)
    except AutostartError as error:
        fail(f"the system does not tell: {error}")
    if not known:
        fail("nothing is installed: the system knows no agent that it would start")
    _run(forgetting(_OWN, place), "the system does not let it go")
    place.unlink(missing_ok=True)
    if as_json:
        print_json({"file": str(place), "installed": False})
        return
    goes_on = "; one that runs goes on until it is ended or you log off" if _OWN == "win32" else ""
    print(f"the agent is not started at log-on any more{goes_on}")


def _run(commands: list[list[str]], what: str) -> None:
    try:
        run(commands)
    except AutostartError as error:
        fail(f"{what}: {error}")
