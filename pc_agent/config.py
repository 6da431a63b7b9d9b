"""The agent's settings."""

import stat
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from pc_agent.settings.live_fields import LiveFields


class AgentSettings(LiveFields):
    """One agent, one terminal. Its password stands in a file of its own, never in a setting."""

    state_dir: Path = Field(description="Folder of the ledger and the locks; one agent's own.")
    terminal_module: Literal["MetaTrader5", "pc_agent.twin.client"] = Field(
        "MetaTrader5", description="How the terminal is spoken to: MetaTrader's package, or the twin's client."
    )
    terminal_path: str = Field(
        "", description="terminal64.exe, or the twin's folder; empty: the one that MetaTrader finds."
    )
    login: int = Field(0, ge=0, description="Account number; 0: the one that the terminal is logged in to.")
    server: str = Field("", description="The account's server, as the terminal shows it.")
    password_file: Path | None = Field(None, description="File with the account's password, readable by you alone.")
    history_start: str = Field(
        "first",
        description="Where a symbol begins of which the mesh knows nothing: 'first' tick, 'now', or an ISO date (UTC).",
    )
    symbols_look_s: float = Field(
        5, gt=0, description="Time between two looks for symbols that the terminal shows or hides; without `symbols`."
    )
    lane_lost_s: float = Field(
        1, gt=0, description="How long a tick lane must be away before its symbols move to the others."
    )
    lane_back_s: float = Field(
        5, ge=0, description="How long a lane that was lost must stand before its symbols come back."
    )
    reconcile_after_s: float = Field(
        60, gt=0, description="How long books must show nothing of an order before it counts as not executed."
    )
    idle_ms: int = Field(5, ge=1, le=1000, description="Pause between two looks at a terminal that has no new tick.")
    worker_hang_s: float = Field(30, ge=25, description="A worker silent for so long is killed and started again.")

    @field_validator("history_start")
    @classmethod
    def _known_start(cls, value: str) -> str:
        if value not in ("first", "now"):
            try:
                datetime.fromisoformat(value)
            except ValueError:
                raise ValueError("must be 'first', 'now' or an ISO date such as 2026-01-31") from None
        return value

    @model_validator(mode="after")
    def _password_is_private(self) -> Self:
        file = self.password_file
        if file is None:
            if self.login:
                raise ValueError("login is given, so password_file must be too")
            return self
        if not file.is_file():
            raise ValueError(f"password_file: there is no file {file}")
        if sys.platform != "win32" and file.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise ValueError(f"password_file: {file} can be read by others; give it mode 0600")
        return self

    def history_start_msc(self) -> int | None:
        """Milliseconds; 0: the first tick, None: now."""
        if self.history_start == "now":
            return None
        if self.history_start == "first":
            return 0
        moment = datetime.fromisoformat(self.history_start)
        return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
