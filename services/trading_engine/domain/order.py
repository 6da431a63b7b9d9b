"""Orders, accounts and what a decision needs to know of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import IntEnum
from typing import NamedTuple

from mesh.orders import PENDING_KINDS, Kind


class Side(IntEnum):
    """Numbered as in the contract, as are the states below."""

    BUY = 1
    SELL = 2

    @property
    def sign(self) -> int:
        return 1 if self is Side.BUY else -1

    @property
    def opposite(self) -> "Side":
        return Side.SELL if self is Side.BUY else Side.BUY


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
    PLACED = 10
    CANCELED = 11
    DONE = 12


_OPEN = frozenset({OrderState.PENDING, OrderState.ACCEPTED, OrderState.PLACED, OrderState.UNKNOWN})

# What an agent may say of a signal.
REPORTABLE = frozenset(OrderState) - {OrderState.DENIED, OrderState.PENDING}


def is_open(kind: Kind, state: OrderState) -> bool:
    """More may come of it. What a partial fill leaves over of a market order is cancelled by the terminal, of a pending
    one it goes on waiting."""
    return state in _OPEN or (state is OrderState.PARTIALLY_FILLED and kind in PENDING_KINDS)


class TradingState(IntEnum):
    ACTIVE = 1
    REDUCING = 2
    HALTED = 3


class SymbolTradeMode(IntEnum):
    UNKNOWN = 0
    DISABLED = 1
    LONG_ONLY = 2
    SHORT_ONLY = 3
    CLOSE_ONLY = 4
    FULL = 5


class AccountId(NamedTuple):
    """A login is unique only on its broker's server."""

    server: str
    login: int

    def __str__(self) -> str:
        return f"{self.login}@{self.server}"


@dataclass(frozen=True, slots=True)
class Intent:
    """What a person or a strategy wants. Volume in lots; `strategy` is empty for a person.

    Side and volume are None where the kind has none, or where they, like an empty symbol, are still to be looked up.
    """

    signal_id: str
    account: AccountId
    symbol: str
    side: Side | None
    volume: Decimal | None
    stop_loss: Decimal | None
    take_profit: Decimal | None
    strategy: str
    submitted_unix_ns: int
    not_after_unix_ms: int
    kind: Kind = Kind.MARKET
    price: Decimal | None = None
    limit_price: Decimal | None = None
    position: int = 0
    opposite_position: int = 0
    order_ticket: int = 0
    expires_unix_ms: int = 0
    deviation_points: int = 0


@dataclass(frozen=True, slots=True)
class SymbolSpec:
    """The terminal's limits, in lots. A step of 0: any volume between the others."""

    volume_min: Decimal
    volume_max: Decimal
    volume_step: Decimal
    trade_mode: SymbolTradeMode = SymbolTradeMode.UNKNOWN


@dataclass(frozen=True, slots=True)
class Exposure:
    """What a strategy has of a symbol: signed lots filled, orders that may still be filled, of those the UNKNOWN."""

    symbol: str
    strategy: str
    net_volume: Decimal
    open_orders: int
    unknown_orders: int


class HeldPosition(NamedTuple):
    """`signal_id` is empty for a foreign one."""

    ticket: int
    symbol: str
    side: Side
    volume: Decimal
    signal_id: str


class WorkingOrder(NamedTuple):
    """A pending order at the broker."""

    ticket: int
    symbol: str
    signal_id: str


@dataclass(frozen=True, slots=True)
class Books:
    """What the terminal held when the agent looked last, by ticket."""

    positions: Mapping[int, HeldPosition] = field(default_factory=dict)
    orders: Mapping[int, WorkingOrder] = field(default_factory=dict)


class Halt(NamedTuple):
    """The agent's own say: no entries."""

    reason: str
    message: str


class Market(NamedTuple):
    """What a strategy must know of a symbol's market; `news`: title of the news in whose window it is."""

    session_open: bool
    news: str


@dataclass(frozen=True, slots=True)
class AccountView:
    """An account at one revision, as a decision sees it. `symbols` is None while no agent is connected, `books` until
    it has told them."""

    account: AccountId
    trading_state: TradingState
    revision: int
    exposures: tuple[Exposure, ...]
    symbols: Mapping[str, SymbolSpec] | None
    now_unix_ms: int
    hedging: bool = False
    halt: Halt | None = None
    books: Books | None = None
    markets: Mapping[str, Market] = field(default_factory=dict)
    # Who set the trading state, and why.
    state_reason: str = ""

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
