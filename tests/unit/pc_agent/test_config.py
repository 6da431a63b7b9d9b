"""The agent's settings."""

from pathlib import Path

import pytest

from mesh.config import SettingsError, load_settings
from pc_agent.config import AgentSettings


def load(tmp_path: Path, *arguments: str) -> AgentSettings:
    return load_settings(AgentSettings, "pc-agent", ["--state-dir", str(tmp_path), *arguments])


def test_a_password_that_others_can_read_is_refused(tmp_path: Path) -> None:
    """The file must be the user's own; what it holds is in no setting."""
    file = tmp_path / "password"
    file.write_text("very secret")
    file.chmod(0o644)
    with pytest.raises(SettingsError, match="0600"):
        load(tmp_path, "--login", "7", "--password-file", str(file))
    file.chmod(0o600)
    assert "very secret" not in repr(load(tmp_path, "--login", "7", "--password-file", str(file)))


def test_a_login_needs_its_password_file(tmp_path: Path) -> None:
    """Which setting is missing is said."""
    with pytest.raises(SettingsError, match="password_file"):
        load(tmp_path, "--login", "7")


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
