"""Orders, accounts and what a decision needs to know of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import IntEnum
from typing import NamedTuple


class Side(IntEnum):
    """Numbered as in the contract, as are the states below."""

    BUY = 1
    SELL = 2

    @property
    def sign(self) -> int:
        return 1 if self is Side.BUY else -1


class OrderState(IntEnum):
    DENIED = 1
    PENDING = 2
    ACCEPTED = 3
    PARTIALLY_FILLED = 4
    FILLED = 5
    REJECTED = 6
    EXPIRED = 7
    UNKNOWN = 8
    NOT_EXECUTED = 9


# More may come of these. A partial fill is not among them: there are only market orders, and the terminal cancels
# what is left of one.
OPEN = frozenset({OrderState.PENDING, OrderState.ACCEPTED, OrderState.UNKNOWN})

# What an agent may say of a signal.
REPORTABLE = frozenset(OrderState) - {OrderState.DENIED, OrderState.PENDING}


class TradingState(IntEnum):
    ACTIVE = 1
    REDUCING = 2
    HALTED = 3


class AccountId(NamedTuple):
    """A login is unique only on its broker's server."""

    server: str
    login: int

    def __str__(self) -> str:
        return f"{self.login}@{self.server}"


@dataclass(frozen=True, slots=True)
class Intent:
    """What a person or a strategy wants. Volume in lots; `strategy` is empty for a person."""

    signal_id: str
    account: AccountId
    symbol: str
    side: Side
    volume: Decimal
    stop_loss: Decimal | None
    take_profit: Decimal | None
    strategy: str
    submitted_unix_ns: int
    not_after_unix_ms: int


@dataclass(frozen=True, slots=True)
class SymbolSpec:
    """The terminal's limits, in lots. A step of 0: any volume between the others."""

    volume_min: Decimal
    volume_max: Decimal
    volume_step: Decimal


@dataclass(frozen=True, slots=True)
class Exposure:
    """What a strategy has of a symbol: signed lots filled, orders that may still be filled, of those the UNKNOWN."""

    symbol: str
    strategy: str
    net_volume: Decimal
    open_orders: int
    unknown_orders: int


@dataclass(frozen=True, slots=True)
class AccountView:
    """An account at one revision, as a decision sees it. `symbols` is None while no agent is connected."""

    account: AccountId
    trading_state: TradingState
    revision: int
    exposures: tuple[Exposure, ...]
    symbols: Mapping[str, SymbolSpec] | None
    now_unix_ms: int

    def exposure(self, symbol: str, strategy: str) -> Exposure:
        """Of this strategy alone."""
        for exposure in self.exposures:
            if (exposure.symbol, exposure.strategy) == (symbol, strategy):
                return exposure
        return Exposure(symbol, strategy, Decimal(0), 0, 0)

    def total(self, symbol: str) -> Exposure:
        """Of everybody on the account: what the terminal sees, which nets."""
        held = [exposure for exposure in self.exposures if exposure.symbol == symbol]
        return Exposure(
            symbol,
            "",
            sum((exposure.net_volume for exposure in held), Decimal(0)),
            sum(exposure.open_orders for exposure in held),
            sum(exposure.unknown_orders for exposure in held),
        )
