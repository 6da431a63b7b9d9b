"""The agent runs on a trader's Windows PC, where nothing is compiled.

`requirements-windows.lock` is what `make lock` resolves for Windows from wheels alone: a package that has none for
Windows can not get into it. Here it is held against what the agent needs, without a network.
"""

import re
import subprocess
import sys
import tomllib
from collections import defaultdict
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
# What markers are judged by: the oldest Python that is supported, on Windows.
WINDOWS = {
    "os_name": "nt",
    "sys_platform": "win32",
    "platform_system": "Windows",
    "platform_machine": "AMD64",
    "implementation_name": "cpython",
    "platform_python_implementation": "CPython",
    "python_version": "3.11",
    "python_full_version": "3.11.9",
}


def locked(name: str) -> dict[str, set[str]]:
    """Versions by package, as a lock file has them: one, or one for each Python."""
    versions = defaultdict(set)
    for line in (ROOT / name).read_text("utf-8").splitlines():
        match = re.match(r"([A-Za-z0-9._-]+)==([^\s;]+)", line)
        assert match, line
        versions[canonicalize_name(match[1])].add(match[2])
    return versions


def of_the_agent() -> list[str]:
    """What the project says that the agent needs."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return [*project["dependencies"], *project["optional-dependencies"]["agent"]]


def of_package(name: str) -> list[str]:
    try:
        return requires(name) or []
    except PackageNotFoundError:  # Windows' own, not installed here: the lock's resolver has looked into it
        return []


def needed() -> set[str]:
    """Every package that the agent needs on Windows, those of its packages too."""
    names: set[str] = set()
    waiting = [(Requirement(line), frozenset[str]()) for line in of_the_agent()]
    while waiting:
        requirement, extras = waiting.pop()
        name = canonicalize_name(requirement.name)
        environments = [WINDOWS | {"extra": extra} for extra in ("", *extras)]
        if name in names or (requirement.marker and not any(map(requirement.marker.evaluate, environments))):
            continue
        names.add(name)
        waiting += [(Requirement(line), frozenset(requirement.extras)) for line in of_package(name)]
    return names


def test_all_that_the_agent_needs_has_a_wheel_for_windows() -> None:
    """A dependency that is new to the agent is refused until `make lock` has found its wheel."""
    missing = needed() - set(locked("requirements-windows.lock"))
    assert not missing, f"run `make lock`: {sorted(missing)}"
    assert {"grpcio", "duckdb", "metatrader5", "colorama"} <= needed()


def test_windows_gets_the_versions_that_were_tested() -> None:
    """The two lock files were made together."""
    tested, windows = locked("requirements.lock"), locked("requirements-windows.lock")
    assert {name: versions for name, versions in windows.items() if not versions <= tested.get(name, versions)} == {}


def test_agent_and_its_commands_need_none_of_the_servers_packages() -> None:
    """On a PC that has only what the agent needs `suho agent` starts, and so does the agent."""
    forbidden = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    names = {Requirement(line).name for extra in ("server", "kafka", "embedded", "top", "bench")
             for line in forbidden[extra]}  # fmt: skip
    modules = {name.replace("-", "_") for name in names} | {"nats", "chdb", "zmq"}
    code = f"""
import sys
sys.modules.update(dict.fromkeys({sorted(modules - {"tzdata"})!r}))
import pc_agent.app, pc_agent.mt5_worker, pc_agent.windows.no_console
from cli.__main__ import app
app(["agent", "status", "--help"])
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, "--watch" in done.stdout) == (0, True), done.stderr
