"""The agent's settings."""

from pathlib import Path
from typing import Any

import pytest

from compose.embedded.programs import toml_of
from mesh.config import SettingsError, load_settings
from pc_agent.config import AgentSettings
from pc_agent.settings.terminals import pools_of


def load(tmp_path: Path, *arguments: str, terminals: str = "") -> AgentSettings:
    config = tmp_path / "agent.toml"
    config.write_text(f"state_dir = '{tmp_path}'\n{terminals}")
    return load_settings(AgentSettings, "pc-agent", ["--config", str(config), *arguments])


def terminal(tmp_path: Path, **settings: Any) -> str:
    """A table of one terminal that is complete."""
    password = tmp_path / "password"
    password.touch()
    password.chmod(0o600)
    values = {"name": "one", "path": "a", "login": 7, "server": "broker", "password_file": str(password)} | settings
    return toml_of({"terminals": (values,)})


def test_a_password_that_others_can_read_is_refused(tmp_path: Path) -> None:
    """The file must be the user's own; what it holds is in no setting."""
    table = terminal(tmp_path)
    file = tmp_path / "password"
    file.write_text("very secret")
    file.chmod(0o644)
    with pytest.raises(SettingsError, match=r"terminals\.0.*0600"):
        load(tmp_path, terminals=table)
    file.chmod(0o600)
    assert "very secret" not in repr(load(tmp_path, terminals=table))


def test_a_login_needs_its_password_file(tmp_path: Path) -> None:
    """Which setting is missing is said."""
    with pytest.raises(SettingsError, match="password_file"):
        load(tmp_path, terminals="[[terminals]]\nlogin = 7")


@pytest.mark.parametrize(
    ("second", "because"),
    [
        ({"path": "b"}, "called 'one'"),
        ({"name": "two"}, "the path 'a'"),
        ({"name": "two", "path": "b", "server": ""}, "'two' lacks one of them"),
    ],
)
def test_terminals_that_do_not_fit_together_are_refused(tmp_path: Path, second: dict[str, Any], because: str) -> None:
    """With what is wrong."""
    with pytest.raises(SettingsError, match=because):
        load(tmp_path, terminals=terminal(tmp_path) + terminal(tmp_path, **second))


def test_two_names_for_one_symbol_are_refused(tmp_path: Path) -> None:
    """Nobody could tell whose ticks they are."""
    with pytest.raises(SettingsError, match="same symbol of the broker"):
        load(tmp_path, terminals=terminal(tmp_path) + "symbol_names = {EURUSD = 'E', GOLD = 'E'}")


def test_terminals_of_one_account_form_a_pool_of_at_most_five(tmp_path: Path) -> None:
    """Server and login say which belong together."""
    given = [terminal(tmp_path, name=f"t{n}", path=f"{n}", login=1 + n % 2) for n in range(4)]
    pools = pools_of(load(tmp_path, terminals="".join(given)).terminals)
    assert [[one.name for one in pool] for pool in pools] == [["t0", "t2"], ["t1", "t3"]]
    given = [terminal(tmp_path, name=f"t{n}", path=f"{n}") for n in range(6)]
    with pytest.raises(SettingsError, match="account 7 at broker has 6 terminals"):
        load(tmp_path, terminals="".join(given))


def test_terminals_are_tables_of_the_file(tmp_path: Path) -> None:
    """Elsewhere they can not be given, and that is said."""
    with pytest.raises(SettingsError, match=r"\[\[terminals\]\] tables"):
        load(tmp_path, "--terminals", "one")


@pytest.mark.parametrize(
    ("given", "msc"),
    [("first", 0), ("now", None), ("2020-02-01", 1_580_515_200_000), ("2020-02-01T01:00+01:00", 1_580_515_200_000)],
)
def test_history_begins_where_it_is_told(tmp_path: Path, given: str, msc: int | None) -> None:
    """The first tick, now, or a date."""
    assert load(tmp_path, "--history-start", given).history_start_msc() == msc


def test_a_history_start_that_is_no_date_is_refused(tmp_path: Path) -> None:
    """With what it may be."""
    with pytest.raises(SettingsError, match="'first', 'now' or an ISO date"):
        load(tmp_path, "--history-start", "yesterday")
