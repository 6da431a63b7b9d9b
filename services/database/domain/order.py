"""Accounts, orders and reports as values."""

from dataclasses import dataclass, field, replace
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple

from mesh.orders import PENDING_KINDS, Kind


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
    PLACED = "PLACED"
    CANCELED = "CANCELED"
    DONE = "DONE"


class TradingState(StrEnum):
    ACTIVE = "ACTIVE"
    REDUCING = "REDUCING"
    HALTED = "HALTED"


class TradeMode(StrEnum):
    DEMO = "DEMO"
    CONTEST = "CONTEST"
    REAL = "REAL"


class MarginMode(StrEnum):
    NETTING = "NETTING"
    EXCHANGE = "EXCHANGE"
    HEDGING = "HEDGING"


class DealCause(StrEnum):
    """As `suho.trading.v1.DealCause`."""

    STOP_LOSS = "STOP_LOSS"
    TAKE_PROFIT = "TAKE_PROFIT"
    STOP_OUT = "STOP_OUT"
    BY_HAND = "BY_HAND"
    OTHER_PROGRAM = "OTHER_PROGRAM"
    AGENT = "AGENT"
    ADOPTED = "ADOPTED"


class AccountRef(NamedTuple):
    """A login is unique only on its broker's server."""

    server: str
    login: int


@dataclass(frozen=True, slots=True)
class Times:
    """Unix nanoseconds; 0: not yet. The first four by the server's clock, the others by the PC's, to which `offset` is
    to be added to compare them."""

    submitted: int = 0
    committed: int = 0
    recorded: int = 0
    sent: int = 0
    received: int = 0
    intent: int = 0
    queued: int = 0
    called: int = 0
    answered: int = 0
    reported: int = 0
    offset: int = 0

    def completed(self, newer: "Times") -> "Times":
        """With what `newer` knows.

        Only one ledger may have executed it: the one that was handed the signal first. Of another one's only `recorded`
        counts.
        """
        before = self
        if self.sent and newer.sent > self.sent:
            newer = Times(recorded=newer.recorded)
        elif 0 < newer.sent < self.sent:
            before = Times(self.submitted, self.committed)
        return Times(*(new or old for old, new in zip(_stamps(before), _stamps(newer), strict=True)))


def _stamps(times: Times) -> tuple[int, ...]:
    return (
        times.submitted,
        times.committed,
        times.recorded,
        times.sent,
        times.received,
        times.intent,
        times.queued,
        times.called,
        times.answered,
        times.reported,
        times.offset,
    )


@dataclass(frozen=True, slots=True)
class Order:
    """What was asked, and what became of it. `id` is the row's; 0 before it is stored.

    Side None and volume 0: the kind has none. `holder` is the strategy whose exposure it moves.
    """

    signal_id: str
    account: AccountRef
    symbol: str
    side: Side | None
    volume: Decimal
    stop_loss: Decimal | None
    take_profit: Decimal | None
    strategy: str
    state: State
    not_after_unix_ms: int
    kind: Kind = Kind.MARKET
    price: Decimal | None = None
    limit_price: Decimal | None = None
    position: int = 0
    opposite_position: int = 0
    order_ticket: int = 0
    expires_unix_ms: int = 0
    deviation_points: int = 0
    agent: str = ""
    holder: str = ""
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

    @property
    def is_open(self) -> bool:
        """More may come of it. What a partial fill leaves over of a market order is cancelled by the terminal, of a
        pending one it goes on waiting."""
        return self.state in _OPEN or (self.state is State.PARTIALLY_FILLED and self.kind in PENDING_KINDS)

    def same_request(self, other: "Order") -> bool:
        """Whether both ask the same; what a repeated signal id must do."""
        return self._request() == other._request()

    def _request(self) -> "Order":
        """Without when it was asked and what became of it."""
        return replace(
            self,
            state=State.PENDING,
            not_after_unix_ms=0,
            agent="",
            holder="",
            reason="",
            message="",
            seq=0,
            epoch=0,
            ticket=0,
            deal=0,
            filled_volume=Decimal(0),
            filled_price=None,
            retcode=0,
            times=Times(),
            id=0,
        )


_OPEN = frozenset({State.PENDING, State.ACCEPTED, State.PLACED, State.UNKNOWN})


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
    times: Times


@dataclass(frozen=True, slots=True)
class ExternalDeal:
    """A trade at the terminal that no signal of ours stands for; `id` is the row's, 0 before it is stored."""

    deal: int
    order: int
    position: int
    symbol: str
    side: Side
    volume: Decimal
    price: Decimal | None
    profit: Decimal
    commission: Decimal
    swap: Decimal
    time_unix_ms: int
    cause: DealCause
    signal_id: str
    id: int = 0

    @property
    def key(self) -> tuple[int, bool]:
        """What names it on its account: an adoption bears the position's ticket, which may be a deal's number too."""
        return self.deal, self.cause is DealCause.ADOPTED


class Event(NamedTuple):
    """An order's passage from one state into another, or a report that moved nothing."""

    at_unix_ns: int
    before: State | None
    after: State
    reason: str
    message: str


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
    # Who executes for it, and through which engine; empty: nobody.
    agent: str = ""
    engine: str = ""
    state_reason: str = ""

    @property
    def open_orders(self) -> int:
        return sum(exposure.open_orders for exposure in self.exposures)


def initial_trading_state(mode: TradeMode) -> TradingState:
    """Live money is opt-in: only a demo account starts ready to trade."""
    return TradingState.ACTIVE if mode is TradeMode.DEMO else TradingState.HALTED


def may_be_set(mode: TradeMode, state: TradingState, allowed_on_pc: bool) -> bool:
    """Whether the mesh may put an account of that mode into `state`: live money is not switched on from afar alone."""
    return mode is TradeMode.DEMO or state is TradingState.HALTED or allowed_on_pc
