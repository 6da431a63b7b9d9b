"""The agent's settings as a file for people."""

import re
import tomllib
from pathlib import Path

import pytest

from pc_agent.config import AgentSettings
from pc_agent.settings.document import DocumentError, commented, unit_of, with_values
from pc_agent.settings.sources import SourceSettings
from pc_agent.settings.terminals import TerminalSettings


def test_every_setting_stands_in_the_file_under_what_it_means(tmp_path: Path) -> None:
    """With unit and default; read again it is the same settings."""
    settings = AgentSettings(state_dir=tmp_path / "agent", max_order_volume="0.5", symbols=("EURUSD", "XAUUSD"))
    text = commented(settings)
    assert AgentSettings.model_validate(tomllib.loads(text)) == settings
    own, _, tables = text.partition("\n[[terminals]]\n")
    terminal = tables.partition("# An example")[0]
    for part, fields in ((own, AgentSettings.model_fields), (terminal, TerminalSettings.model_fields)):
        blocks = {_name(block): block for block in part.strip().split("\n\n")}
        for name, field in fields.items():
            if name not in ("terminals", "sources"):
                assert blocks[name].startswith(f"# {field.description}\n")
                assert unit_of(name) in blocks[name]
    stricter = "# points; default 20; the mesh may change it at once, to what is stricter only"
    assert f"{stricter}\ndeviation_points = 20" in text


def _name(block: str) -> str:
    return block.splitlines()[-1].removeprefix("# ").partition(" = ")[0]


def test_the_file_is_accepted_with_everything_in_it_that_is_commented_out(tmp_path: Path) -> None:
    """One more terminal with limits, a source with each of its fields, and what has no default: only the password's
    file has to be there."""
    text = re.sub(r"^# (?=\[\[|[a-z_]+ = )", "", commented(AgentSettings(state_dir=tmp_path)), flags=re.MULTILINE)
    read = tomllib.loads(text)
    assert read.keys() == AgentSettings.model_fields.keys()
    first, second = read["terminals"]
    first |= {"path": "terminal64.exe", "login": 1, "server": "MyBroker-Live"}
    password = tmp_path / "password"
    password.touch(mode=0o600)
    for terminal in (first, second):
        assert terminal["password_file"].endswith(".password")
        terminal["password_file"] = password
    settings = AgentSettings.model_validate(read)
    assert min(settings.terminals[1].cpu_limit_percent, settings.terminals[1].memory_limit_mb) > 0
    (source,) = settings.sources
    assert read["sources"][0].keys() == SourceSettings.model_fields.keys()
    assert (source.kind, list(source.files)) == ("csv", ["EURUSD"])


def test_a_change_leaves_what_people_wrote(tmp_path: Path) -> None:
    """Comments, order, what is not named; a setting that was not there comes before the tables, with its meaning."""
    text = f"# mine\nstate_dir = '{tmp_path}' # here\nidle_ms=7\n\n[[terminals]]\nname = 'a' # first\n"
    changed = with_values(text, {"idle_ms": 9, "symbols": ["EURUSD"]})
    for kept in ("# mine\n", f"state_dir = '{tmp_path}' # here\n", "name = 'a' # first\n"):
        assert kept in changed
    read = AgentSettings.model_validate(tomllib.loads(changed))
    assert (read.idle_ms, read.symbols, read.terminals[0].name) == (9, ("EURUSD",), "a")
    assert "# Symbols to stream" in changed


def test_what_is_no_toml_is_said_to_be_none() -> None:
    """With the place."""
    with pytest.raises(DocumentError, match="line 2"):
        with_values("a = 1\nb = =\n", {"idle_ms": 1})


def test_sources_stand_in_tables_of_their_own(tmp_path: Path) -> None:
    """Behind the terminals; read again they are the same."""
    feed = {"name": "feed", "kind": "csv", "files": {"EURUSD": tmp_path / "eurusd.csv"}}
    settings = AgentSettings(state_dir=tmp_path / "agent", sources=(feed,))
    text = commented(settings)
    assert text.index("\n[[terminals]]") < text.index("\n[[sources]]")
    assert AgentSettings.model_validate(tomllib.loads(text)) == settings
