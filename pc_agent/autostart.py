"""The agent started at log-on: what Windows' Task Scheduler, systemd and launchd are told, and how they are told."""

import getpass
import plistlib
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mesh.environment import environment
from pc_agent.paths import config_file
from pc_agent.windows.task import task_xml

TASK = "suho-agent"
_UNIT, _LABEL = "suho-agent.service", "suho.agent"


class AutostartError(Exception):
    """The system refused; the message says what it said."""


@dataclass(frozen=True)
class Start:
    """How the agent is started: by `program` with `arguments`, in `folder`."""

    program: Path
    arguments: Sequence[str]
    folder: Path


def start_of(config: Path, log_folder: Path | None) -> Start:
    """With this Python and that settings file; on Windows by pythonw, which opens no window."""
    python = Path(sys.executable)
    windowless = python.with_name("pythonw.exe")
    program = windowless if sys.platform == "win32" and windowless.exists() else python
    logs = ("--log-dir", str(log_folder)) if log_folder else ()
    return Start(program, ("-P", "-m", "pc_agent", "--config", str(config), *logs), config.parent)


def unit_text(start: Start) -> str:
    """For systemd's manager of the user: status 78 is a wrong setting, so it is not started again; the agent divides
    its cgroup among its terminals."""
    command = " ".join(_quoted(word) for word in (str(start.program), *start.arguments))
    return f"""[Unit]
Description=The agent of Suho

[Service]
ExecStart={command}
WorkingDirectory={_escaped(str(start.folder))}
Delegate=cpu memory
Restart=on-failure
RestartPreventExitStatus=78
RestartSec=1
RestartSteps=6
RestartMaxDelaySec=64

[Install]
WantedBy=default.target
"""


def plist_text(start: Start) -> str:
    """For launchd of macOS."""
    facts = {
        "Label": _LABEL,
        "ProgramArguments": [str(start.program), *start.arguments],
        "WorkingDirectory": str(start.folder),
        "RunAtLoad": True,
        "KeepAlive": {"SuccessfulExit": False},
    }
    return plistlib.dumps(facts).decode()


def text_of(start: Start, system: str) -> tuple[str, str]:
    """What `system` (as sys.platform has it) is told, and the encoding of the file."""
    if system == "win32":
        domain = environment("USERDOMAIN")
        user = f"{domain}\\{getpass.getuser()}" if domain else getpass.getuser()
        return task_xml(start.program, start.arguments, start.folder, user), "utf-16"
    return (plist_text(start), "utf-8") if system == "darwin" else (unit_text(start), "utf-8")


def file_of(system: str, home: Path) -> Path:
    """Where the text belongs, whatever settings it names: there is one agent. Windows takes it from anywhere."""
    if system == "win32":
        return config_file().with_name("suho-agent-task.xml")
    if system == "darwin":
        return home / "Library" / "LaunchAgents" / f"{_LABEL}.plist"
    return home / ".config" / "systemd" / "user" / _UNIT


def registering(system: str, file: Path) -> list[list[str]]:
    """The commands that make the system know `file`, and start the agent now."""
    if system == "win32":
        return [["schtasks", "/Create", "/TN", TASK, "/XML", str(file), "/F"], ["schtasks", "/Run", "/TN", TASK]]
    if system == "darwin":
        return [["launchctl", "load", "-w", str(file)]]
    manager = ["systemctl", "--user"]
    return [[*manager, "daemon-reload"], [*manager, "enable", "--now", _UNIT]]


def forgetting(system: str, file: Path) -> list[list[str]]:
    """The commands that take it back; an agent that runs is ended by systemd and launchd, on Windows it goes on."""
    if system == "win32":
        return [["schtasks", "/Delete", "/TN", TASK, "/F"]]
    if system == "darwin":
        return [["launchctl", "unload", "-w", str(file)]]
    return [["systemctl", "--user", "disable", "--now", _UNIT]]


def is_known(system: str, file: Path) -> bool:
    """Whether the system would start the agent: Windows keeps the task by its name, the others read the file."""
    if system == "win32":
        return _done(["schtasks", "/Query", "/TN", TASK]).returncode == 0
    return file.exists()


def run(commands: Sequence[Sequence[str]]) -> None:
    """One after another. Raises AutostartError with what the first that failed said."""
    for command in commands:
        done = _done(command)
        if done.returncode:
            said = " ".join((done.stderr or done.stdout).split()) or f"status {done.returncode}"
            raise AutostartError(f"`{' '.join(command)}` failed: {said}")


def _done(command: Sequence[str]) -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    except OSError as error:
        raise AutostartError(f"{command[0]} can not be run: {error.strerror}") from None


def _quoted(word: str) -> str:
    return f'"{_escaped(word)}"' if set(word) & set(' "\\%$') else word


def _escaped(word: str) -> str:
    """systemd's own: % is a specifier, $ a variable."""
    return word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
