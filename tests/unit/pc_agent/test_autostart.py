"""What the systems are told so that the agent starts when the person logs on."""

import configparser
import plistlib
from pathlib import Path, PureWindowsPath
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

from cli.__main__ import app
from pc_agent.autostart import AutostartError, Start, plist_text, registering, run, unit_text
from pc_agent.windows.task import task_xml

START = Start(Path("/opt/my python/bin/python"), ("-m", "pc_agent", "--config", "/srv/ann/50%/agent.toml"), Path("/x"))


def test_windows_starts_it_at_log_on_hidden_and_without_an_end() -> None:
    """A task of the user's own: no window, no time limit, again after a minute, also on batteries; paths with spaces
    stay in one piece."""
    python: Path = PureWindowsPath("C:/Program Files/Python/pythonw.exe")  # type: ignore[assignment]
    folder: Path = PureWindowsPath("C:/Users/Ann B")  # type: ignore[assignment]
    text = task_xml(python, ["-m", "pc_agent", "--config", r"C:\Users\Ann B\agent.toml"], folder, r"PC\ann & co")
    tree = ElementTree.fromstring(text.partition("\n")[2])
    found = {one.tag.partition("}")[2]: one.text for one in tree.iter() if one.text and one.text.strip()}
    wanted = {
        "UserId": r"PC\ann & co",
        "LogonType": "InteractiveToken",
        "Hidden": "true",
        "ExecutionTimeLimit": "PT0S",
        "Interval": "PT1M",
        "StopIfGoingOnBatteries": "false",
        "MultipleInstancesPolicy": "IgnoreNew",
        "Command": r"C:\Program Files\Python\pythonw.exe",
        "Arguments": r'-m pc_agent --config "C:\Users\Ann B\agent.toml"',
        "WorkingDirectory": r"C:\Users\Ann B",
    }
    assert wanted.items() <= found.items()


def test_systemd_and_launchd_start_it_again_when_it_failed() -> None:
    """After 1, 2, 4 … 64 s, not after a wrong setting; what systemd takes for its own is escaped. Its cgroup is its own
    to divide."""
    unit = configparser.RawConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(unit_text(START))
    service = dict(unit["Service"])
    assert service["ExecStart"] == '"/opt/my python/bin/python" -m pc_agent --config "/srv/ann/50%%/agent.toml"'
    assert service["Delegate"] == "cpu memory"
    assert (service["RestartPreventExitStatus"], service["RestartMaxDelaySec"]) == ("78", "64")
    facts = plistlib.loads(plist_text(START).encode())
    assert facts["ProgramArguments"][0] == "/opt/my python/bin/python"
    assert (facts["RunAtLoad"], facts["KeepAlive"]) == (True, {"SuccessfulExit": False})


def test_an_unfit_file_is_not_installed_and_another_systems_only_written(tmp_path: Path) -> None:
    """The task is UTF-16, as schtasks wants it, and what is still to be done is said."""
    config, written = tmp_path / "agent.toml", tmp_path / "task.xml"
    words = ["agent", "install", "--config", str(config), "--system", "windows"]
    assert CliRunner().invoke(app, [*words, "--output", str(written)]).exit_code == 1
    assert not written.exists()
    assert CliRunner().invoke(app, ["agent", "config", "init", "--config", str(config)]).exit_code == 0
    assert CliRunner().invoke(app, words).exit_code == 2
    done = CliRunner().invoke(app, [*words, "--output", str(written)])
    assert f"schtasks /Create /TN suho-agent /XML {written} /F" in done.stdout
    assert str(config) in written.read_text("utf-16")
    unit = CliRunner().invoke(app, [*words[:-1], "linux", "--output", str(written)]).stdout
    place = ".config/systemd/user/suho-agent.service; systemctl --user daemon-reload"
    assert ("put it to " in unit, place in unit) == (True, True)


def test_what_is_not_installed_is_not_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said so, with status 1; the system is not asked."""
    monkeypatch.setenv("HOME", str(tmp_path))
    refused = CliRunner().invoke(app, ["agent", "uninstall"])
    assert (refused.exit_code, "nothing is installed" in refused.stderr) == (1, True)


@pytest.mark.parametrize("system", ["linux", "win32"])
def test_what_was_installed_with_any_settings_is_taken_back_without_naming_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, system: str
) -> None:
    """The system is asked for what it knows under the agent's name; then it knows nothing any more."""
    told, config = tmp_path / "told", tmp_path / "elsewhere" / "agent.toml"
    for name, value in (("HOME", tmp_path), ("XDG_CONFIG_HOME", tmp_path / "config"), ("PATH", tmp_path)):
        monkeypatch.setenv(name, str(value))
    for program in ("systemctl", "schtasks"):
        script = tmp_path / program
        script.write_text(
            f'#!/bin/sh\necho "$*" >> "{told}"\n'
            f'case "$1" in /Create) : > "{told}.task";; /Delete) /bin/rm "{told}.task";;'
            f' /Query) [ -e "{told}.task" ];; esac\n'
        )
        script.chmod(0o755)
    monkeypatch.setattr("cli.agent_install._OWN", system)
    assert CliRunner().invoke(app, ["agent", "config", "init", "--config", str(config)]).exit_code == 0
    installed = CliRunner().invoke(app, ["agent", "install", "--config", str(config)])
    assert installed.exit_code == 0, installed.output
    taken = CliRunner().invoke(app, ["agent", "uninstall"])
    assert taken.exit_code == 0, taken.output
    wanted = {"linux": "--user disable --now suho-agent.service", "win32": "/Delete /TN suho-agent /F"}
    assert told.read_text().splitlines()[-1] == wanted[system]
    assert CliRunner().invoke(app, ["agent", "uninstall"]).exit_code == 1


def test_what_the_system_said_is_told(tmp_path: Path) -> None:
    """A command that fails, or is not there, ends the installation with its own words."""
    with pytest.raises(AutostartError, match=r"`ls /no/such` failed: .*/no/such"):
        run([["true"], ["ls", "/no/such"]])
    with pytest.raises(AutostartError, match="no-such-program can not be run"):
        run([["no-such-program"]])
    assert registering("darwin", tmp_path)[0][0] == "launchctl"
