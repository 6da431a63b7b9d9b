"""Settings: precedence, and errors that say which setting is wrong."""

from pathlib import Path

import pytest
from pydantic import Field

from mesh.config import ServerSettings, SettingsError, load_settings


class Settings(ServerSettings):
    port: int = Field(7000, description="Port.")
    symbols: tuple[str, ...] = Field((), description="Symbols.")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "hub.toml"
    path.write_text('port = 1\nlog_level = "debug"\nsymbols = ["A", "B"]\n')
    return path


def test_the_command_line_wins_over_environment_over_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each source overrides the one below it, field by field."""
    monkeypatch.setenv("SUHO_HUB_PORT", "2")
    monkeypatch.setenv("SUHO_HUB_SYMBOLS", "X,Y")
    settings = load_settings(Settings, "hub", ["--config", str(file), "--port", "3"])
    assert (settings.port, settings.symbols, settings.log_level) == (3, ("X", "Y"), "debug")
    assert load_settings(Settings, "hub", ["--config", str(file)]).port == 2


def test_the_instance_is_named_after_the_program() -> None:
    """Without a name of its own a process is '<program>-1'."""
    assert load_settings(Settings, "data-bridge", []).instance == "data-bridge-1"


def test_an_unknown_key_suggests_the_nearest_known_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A typing error is refused with the likely meaning and its source."""
    path = tmp_path / "x.toml"
    path.write_text("prot = 1\n")
    with pytest.raises(SettingsError, match=r"unknown setting 'prot' \(file .*\); did you mean 'port'"):
        load_settings(Settings, "hub", ["--config", str(path)])
    monkeypatch.setenv("SUHO_HUB_LOGLEVEL", "info")
    with pytest.raises(SettingsError, match=r"'prot' \(command line\); did you mean 'port'"):
        load_settings(Settings, "hub", ["--prot=1"])
    with pytest.raises(SettingsError, match=r"'loglevel' \(environment\); did you mean 'log_level'"):
        load_settings(Settings, "hub", [])


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (["--port", "many"], "setting 'port' of hub \\(command line\\)"),
        (["--log-level", "loud"], "setting 'log_level'"),
        (["--config", "/nowhere/x.toml"], "can not be read"),
    ],
)
def test_a_wrong_value_is_named_with_its_source(argv: list[str], sentence: str) -> None:
    """The error says which setting, of which program, from where."""
    with pytest.raises(SettingsError, match=sentence):
        load_settings(Settings, "hub", argv)


def test_a_wrong_value_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    """A password put into the wrong field does not come out in the error."""
    monkeypatch.setenv("SUHO_HUB_PORT", "hunter2")
    with pytest.raises(SettingsError) as caught:
        load_settings(Settings, "hub", [])
    assert "hunter2" not in str(caught.value)


def test_broken_toml_is_said_so(tmp_path: Path) -> None:
    """A file that is not TOML is named."""
    path = tmp_path / "x.toml"
    path.write_text("port = = 1\n")
    with pytest.raises(SettingsError, match="is not TOML"):
        load_settings(Settings, "hub", ["--config", str(path)])
