"""What the terminal says of a symbol, as far as checks and orders need it."""

from dataclasses import dataclass

# SYMBOL_TRADE_MODE_*
DISABLED, LONG_ONLY, SHORT_ONLY, CLOSE_ONLY, FULL = range(5)


@dataclass(frozen=True, slots=True)
class SymbolFacts:
    """By the mesh's name. Numbers of MT5's where it numbers; levels in points; margin and tick value of one lot."""

    symbol: str
    digits: int
    volume_min: float
    volume_max: float
    volume_step: float
    contract_size: float
    # Of its newest tick; 0: there is none.
    newest_msc: int
    # As the broker calls it; empty: as the mesh does.
    terminal_symbol: str = ""
    # Most lots held and ordered in one direction; 0: no limit.
    volume_limit: float = 0.0
    point: float = 0.0
    tick_size: float = 0.0
    stops_level: int = 0
    freeze_level: int = 0
    trade_mode: int = FULL
    # Bit masks: SYMBOL_FILLING_*, SYMBOL_EXPIRATION_*, SYMBOL_ORDER_*.
    filling_mode: int = 0
    expiration_mode: int = 15
    order_mode: int = 127
    # SYMBOL_TRADE_EXECUTION_*.
    execution_mode: int = 2
    # 0: not known.
    margin_per_lot: float = 0.0
    tick_value: float = 0.0
    currency_base: str = ""
    currency_profit: str = ""
    currency_margin: str = ""
    spread_float: bool = True
