"""Settings that can not be are refused at the start, with a sentence."""

import pytest

from mesh.config import SettingsError, load_settings
from services.database.config import DatabaseSettings


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--zones", "Demo=Atlantis"), r"setting 'zones' .* America/New_York"),
        (("--sessions", "EURUSD=always"), r"setting 'sessions' .* write a session as"),
        (("--ticks-cold-after-days", "5"), "together"),
        (("--cold-volume", "a'b"), "cold_volume"),
    ],
)
def test_a_bad_rule_is_refused(given: tuple[str, ...], said: str) -> None:
    """It names the setting and says what to write."""
    with pytest.raises(SettingsError, match=said):
        load_settings(DatabaseSettings, "database", given)
