"""What the engine can be told, and what it refuses."""

import pytest

from mesh.config import SettingsError, load_settings
from services.trading_engine.config import EngineSettings
from services.trading_engine.domain.order import AccountId


def load(*argv: str) -> EngineSettings:
    return load_settings(EngineSettings, "trading-engine", argv)


def test_strategies_are_off() -> None:
    """Nothing trades unless it is switched on."""
    assert load().strategy == ""


def test_a_strategy_is_switched_on_for_an_account() -> None:
    """By name, login and server."""
    settings = load("--strategy", "bollinger", "--strategy-account", "1000001@twin-7")
    assert settings.traded_account == AccountId("twin-7", 1000001)


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("--strategy", "bolinger"), "known are bollinger"),
        (("--strategy", "bollinger"), "LOGIN@SERVER"),
        (("--strategy-account", "twin-7"), "LOGIN@SERVER"),
        (("--strategy-account", "0@twin-7"), "LOGIN@SERVER"),
        (("--strategy-account", "1000001"), "LOGIN@SERVER"),
        (("--strategy-volume", "0"), "above 0"),
        (("--strategy-volume", "1e-2"), "plain decimal"),
        (("--signal-valid-ms", "3600001"), "3600000"),
        (("--signal-valid-ms", "9000", "--signal-valid-max-ms", "8000"), "longer than 'signal_valid_max_ms', 8000"),
    ],
)
def test_a_wrong_setting_is_named_and_explained(argv: tuple[str, ...], words: str) -> None:
    """The engine does not start on a guess."""
    with pytest.raises(SettingsError, match=words):
        load(*argv)
