"""House rules that imports can not express; each failure says what to do instead."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("mesh", "hub", "services", "pc_agent", "cli", "compose", "bench")
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
FORBIDDEN_NAMES = {"utils", "helpers", "common", "misc", "manager", "base"}
MOST_LINES = 600

# pattern, the only places where it may stand, what to do instead
RULES = [
    # The other one stands for clients that have nothing of ours.
    (r"\b(in)?secure_channel\(", {"mesh/channel.py", "bench/hub/stock_client.py"}, "open channels with mesh.channel"),
    (r"\bos\.environ\b|\bos\.getenv\b", {"mesh/environment.py"}, "read the environment through mesh.environment"),
    (r"\basyncio\.create_task\(|\bensure_future\(", set(), "start tasks in a TaskGroup"),
    (
        r"\bMetaTrader5\b.*import|import.*\bMetaTrader5\b",
        {"pc_agent/mt5_worker.py"},
        "only the worker knows the terminal",
    ),
    (r"\b(TODO|FIXME|XXX)\b", set(), "do it, or file an issue"),
    (r"\(docs: ", set(), "name the document: docs/NAME.md, and its section in quotation marks"),
]


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize(("pattern", "allowed", "instead"), RULES, ids=[rule[2] for rule in RULES])
def test_what_has_one_place_stands_nowhere_else(pattern: str, allowed: set[str], instead: str) -> None:
    """A pattern that belongs to one module is found in no other."""
    expression = re.compile(pattern)
    found = [
        f"{relative(path)}:{number}"
        for path in SOURCES
        if relative(path) not in allowed
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if expression.search(line)
    ]
    assert not found, f"{instead}: {found}"


def test_no_module_has_a_name_that_says_nothing() -> None:
    """Files are named after what they hold."""
    assert not [relative(path) for path in SOURCES if path.stem in FORBIDDEN_NAMES]


def test_no_module_has_grown_past_its_seam() -> None:
    """A module past the limit is two things."""
    long = {relative(path): n for path in SOURCES if (n := len(path.read_text("utf-8").splitlines())) > MOST_LINES}
    assert not long


def test_the_wheel_holds_everything_that_is_imported() -> None:
    """Every package folder bears an __init__.py, so that a wheel has it."""
    bare = {relative(path.parent) for path in SOURCES if not (path.parent / "__init__.py").is_file()}
    assert not bare


def test_nothing_of_a_machine_is_committed() -> None:
    """Tracked files name no absolute home or work path and no package registry."""
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split()
    if not tracked:
        pytest.skip("not a git checkout: nothing is tracked")
    suspicious = re.compile(r"(^|[\"'\s=])/(home|root|work|Users)/|files\.pythonhosted|pypi\.org/simple|index-url\s*=")
    here = relative(Path(__file__))
    found = [
        f"{name}:{number}"
        for name in tracked
        if name != here and (ROOT / name).is_file()
        for number, line in enumerate((ROOT / name).read_text("utf-8", errors="replace").splitlines(), 1)
        if suspicious.search(line)
    ]
    assert not found
