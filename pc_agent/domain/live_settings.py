"""The settings that may change while the agent runs, as one value."""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum


class DeadMan(StrEnum):
    """What is done when the engine has been gone for too long; each does what the one before it does, and more."""

    HOLD = "hold"
    STOP_ENTRIES = "stop_entries"
    FLATTEN = "flatten"


@dataclass(frozen=True, slots=True)
class LiveSettings:
    """What desks, checks and safety go by now. Where 0 would forbid everything it means that there is no limit.

    Default, meaning and bounds of each stand with the setting of the same name (`settings/live_fields.py`).
    """

    symbols: tuple[str, ...]
    execution_timeout_ms: int
    deviation_points: int
    max_spread_points: int
    max_spread_ratio: float
    max_quote_age_ms: int
    closed_block_entries: bool
    gap_block_entries: bool
    news_block_entries: bool
    news_before_minutes: int
    news_after_minutes: int
    max_order_volume: Decimal
    max_symbol_volume: Decimal
    max_open_positions: int
    max_orders_per_minute: int
    max_daily_loss: Decimal
    dead_man: DeadMan
    dead_man_after_s: float
    reconcile_interval_s: float
    health_interval_s: float
    log_level: str
