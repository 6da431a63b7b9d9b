"""Failpoints kill once, and only when they are asked to."""

import subprocess
import sys
from pathlib import Path

import pytest

from mesh.failpoint import failpoint

PROGRAM = "from mesh.failpoint import failpoint; failpoint('a.b'); print('alive')"


def run(spec: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM], env={"SUHO_FAILPOINTS": spec}, capture_output=True, text=True, check=False
    )


def test_nothing_happens_without_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """In production a failpoint is nothing."""
    monkeypatch.delenv("SUHO_FAILPOINTS", raising=False)
    failpoint("a.b")


def test_the_first_process_dies_there_and_its_successor_lives(tmp_path: Path) -> None:
    """The marker file keeps the restarted process alive."""
    spec = f"other=kill@{tmp_path / 'o'},a.b=kill@{tmp_path / 'm'}"
    assert run(spec).returncode == -9
    assert run(spec).stdout == "alive\n"


def test_another_place_is_not_hit(tmp_path: Path) -> None:
    """Only the named place kills."""
    assert run(f"a.c=kill@{tmp_path / 'm'}").stdout == "alive\n"
