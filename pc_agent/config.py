"""The agent's settings."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

from pydantic import Field, ValidationInfo, field_validator

from pc_agent.settings.live_fields import LiveFields
from pc_agent.settings.sources import SourceSettings, defect_of_sources
from pc_agent.settings.terminals import TerminalSettings, defect


class AgentSettings(LiveFields):
    """One agent on one PC, and its terminals."""

    state_dir: Path = Field(description="Folder of the ledger and the locks; one agent's own.")
    terminals: tuple[TerminalSettings, ...] = Field(
        (TerminalSettings(),),
        min_length=1,
        description="The terminals on this PC, a [[terminals]] table each; those of one account work in parallel.",
    )
    sources: tuple[SourceSettings, ...] = Field(
        (), description="Sources of ticks beside the terminals, a [[sources]] table each."
    )
    history_start: str = Field(
        "first",
        description="Where a symbol begins of which the mesh knows nothing: 'first' tick, 'now', or an ISO date (UTC).",
    )
    symbols_look_s: float = Field(
        5, gt=0, description="Time between two looks at which symbols a terminal has and shows, and at their terms."
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
    auto_close_minutes: int = Field(
        15,
        ge=1,
        le=720,
        description="With the preference auto_close_trades: so long before the trade server's midnight all of ours is"
        " closed, or before a symbol's last quotes of the day where these end earlier, once two nights have shown it.",
    )
    news_file: Path | None = Field(
        None,
        examples=["news.csv"],
        description="Calendar of economic news, .csv or .ics, read again when it changes; none: no news.",
    )
    news_least_impact: Literal["low", "medium", "high"] = Field(
        "high", description="News of less impact than this make no window."
    )
    ledger_keep_days: int = Field(
        90, ge=1, description="How long an order stays in the ledger after the engine has acknowledged its end."
    )
    idle_ms: int = Field(5, ge=1, le=1000, description="Pause between two looks at a terminal that has no new tick.")
    user_id: UUID | None = Field(
        None,
        examples=["00000000-0000-0000-0000-000000000000"],
        description="Whose preferences count here: a UUID, the same on each of a person's PCs; none: this agent's own.",
    )
    records_sync_s: float = Field(
        10,
        gt=0,
        description="Time between two looks at the database service for preferences and records changed there.",
    )
    control_port: int = Field(
        0, ge=0, le=65535, description="Port of the agent's own service on loopback; 0: a free one, see endpoint.json."
    )
    worker_hang_s: float = Field(
        30, ge=1, description="A worker that stands still for so long, waiting for no terminal, is replaced."
    )

    @field_validator("history_start")
    @classmethod
    def _known_start(cls, value: str) -> str:
        if value not in ("first", "now"):
            try:
                datetime.fromisoformat(value)
            except ValueError:
                raise ValueError("must be 'first', 'now' or an ISO date such as 2026-01-31") from None
        return value

    @field_validator("terminals", "sources", mode="before")
    @classmethod
    def _tables(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, list) and any(isinstance(item, str) for item in value):
            raise ValueError(f"{info.field_name} stand in the file, as [[{info.field_name}]] tables; see --config")
        return value

    @field_validator("terminals")
    @classmethod
    def _fit_together(cls, value: tuple[TerminalSettings, ...]) -> tuple[TerminalSettings, ...]:
        if wrong := defect(value):
            raise ValueError(wrong)
        return value

    @field_validator("sources")
    @classmethod
    def _one_name_each(cls, value: tuple[SourceSettings, ...], info: ValidationInfo) -> tuple[SourceSettings, ...]:
        if wrong := defect_of_sources(value, [one.name for one in info.data.get("terminals", ())]):
            raise ValueError(wrong)
        return value

    def history_start_msc(self) -> int | None:
        """Milliseconds; 0: the first tick, None: now."""
        if self.history_start == "now":
            return None
        if self.history_start == "first":
            return 0
        moment = datetime.fromisoformat(self.history_start)
        return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
