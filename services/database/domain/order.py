"""Accounts, orders and reports as values."""

from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple


class Side(StrEnum):
    BUY = "BUY"
    SELL = "SELL"


class State(StrEnum):
    """As `suho.trading.v1.OrderState`, which says what each means."""

    DENIED = "DENIED"
    PENDING = "PENDING"
    ACCEPTED = "ACCEPTED"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    FILLED = "FILLED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"
    UNKNOWN = "UNKNOWN"
    NOT_EXECUTED = "NOT_EXECUTED"


class TradingState(StrEnum):
    ACTIVE = "ACTIVE"
    REDUCING = "REDUCING"
    HALTED = "HALTED"


class TradeMode(StrEnum):
    DEMO = "DEMO"
    CONTEST = "CONTEST"
    REAL = "REAL"


class AccountRef(NamedTuple):
    """A login is unique only on its broker's server."""

    server: str
    login: int


@dataclass(frozen=True, slots=True)
class Times:
    """Unix nanoseconds; 0: not yet. The first three by the server's clock, the rest by the PC's."""

    submitted: int = 0
    committed: int = 0
    recorded: int = 0
    received: int = 0
    intent: int = 0
    called: int = 0
    answered: int = 0


@dataclass(frozen=True, slots=True)
class Order:
    """What was asked, and what became of it. `id` is the row's; 0 before it is stored."""

    signal_id: str
    account: AccountRef
    symbol: str
    side: Side
    volume: Decimal
    stop_loss: Decimal | None
    take_profit: Decimal | None
    strategy: str
    state: State
    not_after_unix_ms: int
    reason: str = ""
    message: str = ""
    seq: int = 0
    epoch: int = 0
    ticket: int = 0
    deal: int = 0
    filled_volume: Decimal = Decimal(0)
    filled_price: Decimal | None = None
    retcode: int = 0
    times: Times = field(default_factory=Times)
    id: int = 0

    def same_request(self, other: "Order") -> bool:
        """Whether both ask the same; what a repeated signal id must do."""
        return self._request() == other._request()

    def _request(self) -> tuple[object, ...]:
        return (self.account, self.symbol, self.side, self.volume, self.stop_loss, self.take_profit, self.strategy)


@dataclass(frozen=True, slots=True)
class Report:
    """What the agent says of a signal."""

    report_id: str
    signal_id: str
    account: AccountRef
    state: State
    reason: str
    message: str
    ticket: int
    deal: int
    filled_volume: Decimal
    filled_price: Decimal | None
    retcode: int
    received: int
    intent: int
    called: int
    answered: int


@dataclass(frozen=True, slots=True)
class Exposure:
    """What a strategy has of a symbol: signed lots filled, orders that may still be filled, of those the UNKNOWN."""

    symbol: str
    strategy: str
    net_volume: Decimal
    open_orders: int
    unknown_orders: int


@dataclass(frozen=True, slots=True)
class Account:
    ref: AccountRef
    trade_mode: TradeMode
    trading_state: TradingState
    revision: int
    epoch: int
    last_seq: int
    exposures: tuple[Exposure, ...]
    id: int

    @property
    def open_orders(self) -> int:
        return sum(exposure.open_orders for exposure in self.exposures)


def initial_trading_state(mode: TradeMode) -> TradingState:
    """Live money is opt-in: only a demo account starts ready to trade."""
    return TradingState.ACTIVE if mode is TradeMode.DEMO else TradingState.HALTED


def may_be_set(mode: TradeMode, state: TradingState) -> bool:
    """Whether the mesh may put an account of that mode into `state`: live money is never switched on from afar."""
    return mode is TradeMode.DEMO or state is TradingState.HALTED
