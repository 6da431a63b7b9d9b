"""`suho config` against a hub."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from cli.__main__ import app
from tests.support import free_port
from tests.unit.cli.fake_hub import write_state

pytestmark = pytest.mark.integration

Suho = Callable[..., Result]


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Of a platform that is one hub, in memory."""
    folder, port = tmp_path_factory.mktemp("config") / "state", free_port()
    write_state(folder, f"127.0.0.1:{port}")
    with subprocess.Popen([sys.executable, "-m", "hub", "--port", str(port)], stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        try:
            while b"hub is ready" not in process.stderr.readline():
                assert process.poll() is None
            yield folder
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=60)


@pytest.fixture
def suho(state: Path) -> Suho:
    def run(*words: object, stdin: str = "") -> Result:
        return CliRunner().invoke(app, ["config", *map(str, words), "--state", str(state)], input=stdin)

    return run


def _json(result: Result) -> Any:
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def test_values_are_set_one_by_one_and_what_counts_is_told(suho: Suho) -> None:
    """Each version says what it changed; an instance's own values win."""
    first = suho(
        "set", "svc-a", "spread=30", 'symbols=["EURUSD"]', "dead_man=flatten", "--reason", "calm", "--by", "ann"
    )
    assert first.stdout.splitlines()[0] == (
        'svc-a is at version 1: dead_man "flatten" (new); spread 30 (new); symbols ["EURUSD"] (new)'
    )
    assert "no instance of 'svc-a' is registered" in first.stdout
    again = suho("set", "svc-a", "spread=30", "--reason", "calm")
    assert again.stdout == "svc-a stays at version 1: these are its values\n"
    assert suho("set", "svc-a/one", "spread=10", "--reason", "tight", "--by", "bob").exit_code == 0
    assert suho("set", "svc-a", "share=0.5", "--unset", "dead_man", "--reason", "so").exit_code == 0
    told = [line.split() for line in suho("get", "svc-a/one").stdout.splitlines()]
    assert told[1:4] == [
        ["share", "0.5", "service"],
        ["spread", "10", "instance"],
        ["symbols", '["EURUSD"]', "service"],
    ]
    facts = _json(suho("get", "svc-a/one", "--json"))
    assert facts["effective"]["values"] == {"share": 0.5, "spread": 10, "symbols": ["EURUSD"]}
    assert (facts["effective"]["of_service"]["version"], facts["config"]["by"]) == (2, "bob")
    listed = [line.split()[:3] for line in suho("list", "svc-a").stdout.splitlines()]
    assert listed[1:] == [["svc-a", "2", "3"], ["svc-a/one", "1", "1"]]


def test_history_differences_and_the_way_back(suho: Suho) -> None:
    """The old values come back under a new number, and the history goes on."""
    for spread in (1, 2):
        assert suho("set", "svc-b", f"spread={spread}", "--reason", f"try {spread}", "--by", "ann").exit_code == 0
    assert suho("diff", "svc-b").stdout == "spread 1 → 2\n"
    assert suho("diff", "svc-b", 2, 2).stdout == "versions 2 and 2 are the same\n"
    back = suho("rollback", "svc-b", 1, "--reason", "too wide", "--by", "bob")
    assert back.stdout.splitlines()[0] == "svc-b is at version 3: spread 2 → 1"
    lines = suho("history", "svc-b").stdout.splitlines()
    assert "too wide (back to 1)" in lines[1]
    assert [line.split()[0] for line in lines[1:]] == ["3", "2", "1"]
    assert lines[3].endswith("spread 1 (new)")
    assert [one["values"] for one in _json(suho("history", "svc-b", "--json"))["versions"]] == [
        {"spread": 1},
        {"spread": 2},
        {"spread": 1},
    ]
    assert _json(suho("diff", "svc-b", 1, 2, "--json"))["differences"] == [{"name": "spread", "was": 1, "is": 2}]
    assert "version 2, " in suho("get", "svc-b", "--version", 2).stdout
    for words in (("rollback", "svc-b", 9, "--reason", "r"), ("diff", "svc-b", 9), ("diff", "svc-none")):
        refused = suho(*words)
        assert refused.exit_code == 1
        assert refused.stderr.startswith("suho: ")


def test_whole_documents_come_from_a_file_or_an_editor(
    suho: Suho, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TOML or JSON; an editor that fails changes nothing."""
    file = tmp_path / "made.toml"
    file.write_text('since = 2026-01-31\n[deep]\nlist = [1, "a"]\n')
    assert suho("put", "svc-c", file, "--reason", "new").exit_code == 0
    assert _json(suho("get", "svc-c", "--json"))["config"]["values"] == {
        "deep": {"list": [1, "a"]},
        "since": "2026-01-31",
    }
    assert suho("put", "svc-c", "-", "--reason", "new", stdin='{"spread": 3}').exit_code == 0
    editor = tmp_path / "editor.py"
    editor.write_text("import sys; f = sys.argv[1]; t = open(f).read(); open(f, 'w').write(t.replace('3', '4'))")
    monkeypatch.setenv("VISUAL", f"{sys.executable} {editor}")
    assert "svc-c is at version 3: spread 3 → 4" in suho("edit", "svc-c", "--reason", "more").stdout
    monkeypatch.setenv("VISUAL", "false")
    assert "nothing was changed" in suho("edit", "svc-c", "--reason", "more").stderr
    for text in ("{", "= 1"):
        assert suho("put", "svc-c", "-", "--reason", "r", stdin=text).exit_code == 2


def test_what_a_program_that_is_gone_was_set_to_is_deleted(suho: Suho) -> None:
    """With its history."""
    assert suho("set", "svc-e", "spread=1", "--reason", "r").exit_code == 0
    assert "it was at version 1" in suho("delete", "svc-e", "--reason", "gone").stdout
    assert suho("delete", "svc-e", "--reason", "gone").stdout == "nothing was kept for svc-e\n"
    assert suho("history", "svc-e").stdout == "nothing was ever kept for svc-e\n"


def test_a_watch_tells_what_counts_and_ends_as_asked(suho: Suho) -> None:
    """A line for what there is; nothing for who has nothing."""
    assert suho("set", "svc-d", "spread=1", "--reason", "r", "--by", "ann").exit_code == 0
    assert suho("watch", "svc-d/one", "--limit", 1).stdout.endswith("svc-d/one 1 by ann: spread 1 (new)\n")
    assert _json(suho("watch", "svc-d/one", "--limit", 1, "--json"))["values"] == {"spread": 1}
    assert suho("watch", "svc-none", "--for", 0.2).stdout == ""
    assert suho("status").stdout == "no program follows its settings\n"


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        (("set", "svc-a", "password=hidden", "--reason", "r"), 1, "looks like a secret"),
        (("set", "Svc", "a=1", "--reason", "r"), 1, "INVALID_ARGUMENT"),
        (("set", "svc-a", "--reason", "r"), 2, "nothing is to be changed"),
        (("set", "svc-a", "a", "--reason", "r"), 2, "write NAME=VALUE"),
        (("set", "svc-a", "--unset", "none", "--reason", "r"), 1, "has no value 'none'"),
        (("get", "svc-a/"), 2, "SERVICE/INSTANCE"),
        (("get", "svc-a", "--version", "99"), 1, "UNKNOWN_VERSION"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_refusals_say_what_is_wrong(suho: Suho, words: tuple[str, ...], status: int, sentence: str) -> None:
    """With the status for refused, or for wrong usage; a secret is not repeated."""
    result = suho(*words)
    assert result.exit_code == status
    assert sentence in result.stderr
    assert "hidden" not in result.stderr
