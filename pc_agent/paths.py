"""Where the agent of a PC keeps what is its own, as its system wants it."""

from pathlib import Path

import platformdirs

_NAME = "suho"


def config_file() -> Path:
    """Its settings."""
    return platformdirs.user_config_path(_NAME, appauthor=False) / "agent.toml"


def state_folder() -> Path:
    """Ledger, locks, store, endpoint; the system's own profile keeps others out of it."""
    return platformdirs.user_state_path(_NAME, appauthor=False) / "agent"


def log_folder() -> Path:
    return platformdirs.user_log_path(_NAME, appauthor=False)
