"""The fields of the settings that may change while the agent runs."""

from decimal import Decimal

from pydantic import Field

from mesh.config import MeshSettings
from pc_agent.domain.live_settings import DeadMan


class LiveFields(MeshSettings):
    """As the agent starts with them; the hub may change them afterwards (`domain/setting_rules.py` says how far)."""

    symbols: tuple[str, ...] = Field((), description="Symbols to stream; none: all that the terminal shows.")
    execution_timeout_ms: int = Field(
        1_200,
        ge=100,
        le=60_000,
        description="How long one call of order_send may take; then its worker is replaced, the order in doubt.",
    )
    deviation_points: int = Field(20, ge=0, description="How far an order's price may slip.")
    max_spread_points: int = Field(0, ge=0, description="No entry while the spread is wider; 0: any spread.")
    max_spread_ratio: float = Field(
        0, ge=0, description="No entry while the spread is wider than its mean of five minutes times this; 0: any."
    )
    max_quote_age_ms: int = Field(
        60_000, ge=0, description="No entry on a quote that has stood for longer: the terminal may stand still; 0: any."
    )
    closed_block_entries: bool = Field(
        False, description="No entry while the symbol's session is closed, as its quotes tell; else the broker decides."
    )
    gap_block_entries: bool = Field(
        False, description="No entry while a market stands still that should move: see `suho market`."
    )
    news_block_entries: bool = Field(False, description="No entry around news of the symbol's currencies: news_file.")
    news_before_minutes: int = Field(5, ge=0, le=1_440, description="From when before news its window begins.")
    news_after_minutes: int = Field(5, ge=0, le=1_440, description="Until when behind news its window lasts.")
    max_order_volume: Decimal = Field(Decimal(10), ge=0, description="Most lots of one order; 0: no limit.")
    max_symbol_volume: Decimal = Field(
        Decimal(50), ge=0, description="Most lots held and ordered of one symbol; 0: no limit."
    )
    max_open_positions: int = Field(200, ge=0, description="Most open positions and pending orders; 0: no limit.")
    max_orders_per_minute: int = Field(1_000, ge=0, description="Most entries in a minute; 0: no limit.")
    max_daily_loss: Decimal = Field(
        Decimal(0),
        ge=0,
        description="No entry after such a loss since the server's midnight, in the account's currency; 0: no limit.",
    )
    dead_man: DeadMan = Field(
        DeadMan.STOP_ENTRIES,
        description="What to do when the engine is gone for too long. hold: nothing; stop_entries: no entries, and"
        " pending orders that signals placed are removed; flatten: their positions, and adopted ones, are closed too,"
        " and no entries until `suho agent resume`. What is foreign stays as it is.",
    )
    dead_man_after_s: float = Field(300, gt=0, description="How long the engine may be gone before that.")
    reconcile_interval_s: float = Field(
        30, ge=1, le=3_600, description="Time between two comparisons of ledger, terminal and engine."
    )
    health_interval_s: float = Field(30, ge=1, le=3_600, description="Time between two looks at a terminal's health.")
