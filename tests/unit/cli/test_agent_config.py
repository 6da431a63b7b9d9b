"""`suho agent config`: the file of the agent on this PC."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from cli.__main__ import app
from mesh.configuration import KeptConfig, Made
from pc_agent.settings.journal import Change, Remembered, append, remember

Agent = Callable[..., Result]


@pytest.fixture
def agent(tmp_path: Path) -> Agent:
    """Run `suho agent config …` on a file of the test."""

    def run(*words: object) -> Result:
        return CliRunner().invoke(app, ["agent", "config", *map(str, words), "--config", str(tmp_path / "agent.toml")])

    return run


def _json(result: Result) -> Any:
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def test_a_file_is_written_checked_and_changed(agent: Agent, tmp_path: Path) -> None:
    """Never replaced unasked; a change keeps comments; a check names what is not as by default."""
    assert "every setting" in agent("init", "max_order_volume=2").stdout
    assert agent("init").exit_code == 1
    file = tmp_path / "agent.toml"
    assert file.read_text().count("log_dir = ") == 1  # in its place, under what it means
    file.write_text("# my own\n" + file.read_text())
    assert "deviation_points = 3" in agent("set", "deviation_points=3", 'symbols=["EURUSD"]').stdout
    assert file.read_text().startswith("# my own\n")
    fit = _json(agent("check", "--json"))
    assert fit["fit"]
    assert {"max_order_volume", "deviation_points", "symbols"} <= set(fit["differing"])
    assert fit["left_open"] == [
        "terminal 'terminal' has no path, so the one that MetaTrader finds on this PC"
        " and no login, so the account that it is logged in to"
    ]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("set", "deviation_points=-1"), "'deviation_points' of pc-agent (file "),
        (("set", "deviation_point=1"), "did you mean 'deviation_points'?"),
        (("set",), "nothing is to be changed"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_change_that_would_keep_the_agent_from_starting_is_refused(
    agent: Agent, tmp_path: Path, words: tuple[str, ...], sentence: str
) -> None:
    """The file stays as it was."""
    agent("init")
    before = (tmp_path / "agent.toml").read_text()
    refused = agent(*words)
    assert refused.exit_code != 0
    assert sentence in refused.stderr
    assert (tmp_path / "agent.toml").read_text() == before
    assert [path.name for path in tmp_path.iterdir()] == ["agent.toml"]


def test_a_file_that_is_wrong_is_said_to_be(agent: Agent, tmp_path: Path) -> None:
    """Missing, no TOML, or with a wrong value: status 1 and a sentence."""
    assert "suho agent config init" in agent("check").stderr
    for text, sentence in (("= 1", "is not TOML"), ("idle_ms = 0", "'idle_ms'")):
        (tmp_path / "agent.toml").write_text(text)
        refused = agent("check")
        assert refused.exit_code == 1
        assert sentence in refused.stderr
    told = agent("check", "--json")
    assert told.exit_code == 1
    assert not json.loads(told.stdout)["fit"]


def test_what_counts_is_shown_with_where_it_is_from(agent: Agent, tmp_path: Path) -> None:
    """The mesh's values over the file's, and why one is not."""
    folder = tmp_path / "agent"
    folder.mkdir()
    agent("init", "max_order_volume=2")
    kept = KeptConfig({"deviation_points": 4, "max_order_volume": 3}, Made(7, "ann", "calm", 5))
    remember(folder, Remembered(kept, {}))
    facts = {fact["name"]: fact for fact in _json(agent("show", "--json"))["settings"]}
    deviation = facts["deviation_points"]
    assert (deviation["value"], deviation["from"]) == (4, "version service 7 of the mesh")
    assert (facts["max_order_volume"]["value"], facts["max_order_volume"]["note"]) == (
        *("2", "this PC's own 2 is stricter"),
    )
    assert facts["terminals"]["mesh"] == "may not change it"
    (line,) = (line for line in agent("show").stdout.splitlines() if line.startswith("terminals"))
    assert line.split()[:2] == ["terminals", "terminal"]


def test_the_journal_tells_who_changed_what(agent: Agent, tmp_path: Path) -> None:
    """The refused with its reason; the newest only, where so many are asked for."""
    folder = tmp_path / "agent"
    folder.mkdir()
    agent("init")
    assert agent("journal").stdout == "nothing changed yet\n"
    made = {"of_service": asdict(Made(7, "ann", "calm", 5)), "of_instance": asdict(Made())}
    change = asdict(Change("deviation_points", 20, 4, "now"))
    append(folder, {"at_unix_ms": 0, "from": "mesh", "outcome": "applied", "because": "", **made, "changes": [change]})
    append(folder, {"at_unix_ms": 1, "from": "mesh", "outcome": "refused", "because": "no", **made, "changes": []})
    assert agent("journal").stdout.splitlines() == [
        "1970-01-01T00:00:00.000Z service version 7 by ann (calm): applied",
        "  deviation_points 20 → 4 (now)",
        "1970-01-01T00:00:00.001Z service version 7 by ann (calm): refused, no",
    ]
    assert [record["outcome"] for record in _json(agent("journal", "-n", 1, "--json"))["records"]] == ["refused"]
