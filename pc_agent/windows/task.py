"""The agent as a task of Windows' Task Scheduler."""

import subprocess
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

_NAMESPACE = "http://schemas.microsoft.com/windows/2004/02/mit/task"
# Task Scheduler waits a minute at least, and tries 999 times at most. A worker that dies is not its affair: the agent
# starts that one again within a moment.
_RESTART_INTERVAL, _RESTARTS = "PT1M", 999


def task_xml(program: Path, arguments: Sequence[str], folder: Path, user: str) -> str:
    """For Task Scheduler 1.2 and newer (Windows Vista): at the user's log-on, hidden, without an end."""
    ElementTree.register_namespace("", _NAMESPACE)
    task = ElementTree.Element(_name("Task"), version="1.2")
    _fill(task, "RegistrationInfo", {"Description": "The agent of Suho: trades and streams for this PC's terminals."})
    _fill(_child(task, "Triggers"), "LogonTrigger", {"Enabled": "true", "UserId": user})
    principal = _fill(_child(task, "Principals"), "Principal",
                      {"UserId": user, "LogonType": "InteractiveToken", "RunLevel": "LeastPrivilege"})  # fmt: skip
    principal.set("id", "Author")
    settings = _fill(task, "Settings", {
        "MultipleInstancesPolicy": "IgnoreNew",
        "DisallowStartIfOnBatteries": "false",
        "StopIfGoingOnBatteries": "false",
        "AllowHardTerminate": "true",
        "StartWhenAvailable": "true",
        "Hidden": "true",
        "ExecutionTimeLimit": "PT0S",  # none
        "Priority": "4",  # normal; the usual 7 would put it behind everything else
    })  # fmt: skip
    _fill(settings, "RestartOnFailure", {"Interval": _RESTART_INTERVAL, "Count": str(_RESTARTS)})
    actions = _child(task, "Actions")
    actions.set("Context", "Author")
    command = {"Command": str(program), "Arguments": subprocess.list2cmdline(arguments)}
    _fill(actions, "Exec", {**command, "WorkingDirectory": str(folder)})
    ElementTree.indent(task)
    return '<?xml version="1.0" encoding="UTF-16"?>\n' + ElementTree.tostring(task, "unicode") + "\n"


def _name(tag: str) -> str:
    return f"{{{_NAMESPACE}}}{tag}"


def _child(parent: ElementTree.Element, tag: str) -> ElementTree.Element:
    return ElementTree.SubElement(parent, _name(tag))


def _fill(parent: ElementTree.Element, tag: str, texts: dict[str, str]) -> ElementTree.Element:
    element = _child(parent, tag)
    for name, text in texts.items():
        _child(element, name).text = text
    return element
