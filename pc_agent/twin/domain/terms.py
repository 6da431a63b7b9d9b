"""What a broker allows and charges: the conditions of a symbol, and those of an account."""

from dataclasses import dataclass

from pc_agent.twin import constants as mt5
from pc_agent.twin.domain.sessions import week

# The package leaves these bit masks out; SymbolInfo's filling_mode, expiration_mode and order_mode are made of them.
SYMBOL_FILLING_FOK, SYMBOL_FILLING_IOC, SYMBOL_FILLING_BOC = 1, 2, 4
SYMBOL_EXPIRATION_ALL = 1 | 2 | 4 | 8  # by ORDER_TIME_*: 1 << type_time
SYMBOL_ORDER_MARKET, SYMBOL_ORDER_LIMIT, SYMBOL_ORDER_STOP, SYMBOL_ORDER_STOP_LIMIT = 1, 2, 4, 8
SYMBOL_ORDER_SL, SYMBOL_ORDER_TP, SYMBOL_ORDER_CLOSEBY = 16, 32, 64
SYMBOL_ORDER_ALL = 127

# Of swaps those are missing that close positions and open them anew.
_SWAP_MODES = (
    mt5.SYMBOL_SWAP_MODE_DISABLED, mt5.SYMBOL_SWAP_MODE_POINTS, mt5.SYMBOL_SWAP_MODE_CURRENCY_SYMBOL,
    mt5.SYMBOL_SWAP_MODE_CURRENCY_MARGIN, mt5.SYMBOL_SWAP_MODE_CURRENCY_DEPOSIT,
    mt5.SYMBOL_SWAP_MODE_INTEREST_CURRENT, mt5.SYMBOL_SWAP_MODE_INTEREST_OPEN,
)  # fmt: skip
_KNOWN = {
    "trade_mode": range(mt5.SYMBOL_TRADE_MODE_DISABLED, mt5.SYMBOL_TRADE_MODE_FULL + 1),
    "trade_exemode": range(mt5.SYMBOL_TRADE_EXECUTION_REQUEST, mt5.SYMBOL_TRADE_EXECUTION_EXCHANGE + 1),
    "swap_mode": _SWAP_MODES,
    "swap_rollover3days": range(mt5.DAY_OF_WEEK_SUNDAY, mt5.DAY_OF_WEEK_SATURDAY + 1),
}
_NOT_NEGATIVE = ("trade_stops_level", "trade_freeze_level", "volume_limit", "margin_hedged", "liquidity")


@dataclass(frozen=True)
class Terms:
    """The conditions of one symbol, named as in SymbolInfo where it has them; volumes in lots, levels in points."""

    trade_mode: int = mt5.SYMBOL_TRADE_MODE_FULL
    trade_exemode: int = mt5.SYMBOL_TRADE_EXECUTION_MARKET
    trade_stops_level: int = 0
    trade_freeze_level: int = 0
    volume_min: float = 0.01
    volume_max: float = 100.0
    volume_step: float = 0.01
    volume_limit: float = 0.0  # of positions and orders in one direction; 0: none
    filling_mode: int = SYMBOL_FILLING_FOK | SYMBOL_FILLING_IOC
    expiration_mode: int = SYMBOL_EXPIRATION_ALL
    order_mode: int = SYMBOL_ORDER_ALL
    swap_mode: int = mt5.SYMBOL_SWAP_MODE_POINTS
    swap_long: float = 0.0
    swap_short: float = 0.0
    swap_rollover3days: int = mt5.DAY_OF_WEEK_WEDNESDAY
    margin_hedged: float | None = None  # units that a hedged lot counts as; None: the contract's
    margin_hedged_use_leg: bool = False
    # What SymbolInfo does not tell.
    commission: float = 0.0  # account's money for a lot, in every deal
    liquidity: float = float("inf")  # lots that can be dealt at one tick
    sessions: str = ""  # when it is traded, as domain.sessions reads it; empty: always
    only_real: bool = False  # not on a demo account

    def __post_init__(self) -> None:
        """Raises ValueError for terms that nobody can trade by."""
        week(self.sessions)
        for name, known in _KNOWN.items():
            if getattr(self, name) not in known:
                raise ValueError(f"{name} is {getattr(self, name)}: known are {', '.join(map(str, known))}")
        if not 0 < self.volume_step <= self.volume_min <= self.volume_max:
            raise ValueError("volume_step, volume_min and volume_max must ascend, all above zero")
        for name in _NOT_NEGATIVE:
            if not (getattr(self, name) or 0) >= 0:
                raise ValueError(f"{name} is {getattr(self, name)}: it can not be under zero")


@dataclass(frozen=True)
class AccountTerms:
    """What was agreed when the account was opened; money in `currency`, margin levels in per cent."""

    server: str
    login: int
    currency: str
    leverage: int
    deposit: float
    margin_mode: int = mt5.ACCOUNT_MARGIN_MODE_RETAIL_NETTING
    trade_mode: int = mt5.ACCOUNT_TRADE_MODE_DEMO
    fifo_close: bool = False
    hedge_prohibited: bool = False
    limit_orders: int = 200  # pending orders at a time; 0: any number
    limit_positions: int = 0
    requests_per_s: int = 0
    margin_call: float = 50.0
    stop_out: float = 30.0
    trade_allowed: bool = True
    trade_expert: bool = True

    @property
    def is_hedging(self) -> bool:
        return self.margin_mode == mt5.ACCOUNT_MARGIN_MODE_RETAIL_HEDGING
