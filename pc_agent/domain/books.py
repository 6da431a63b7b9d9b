"""A terminal's books as values: what is open, what is past, what the account is worth. Codes are MT5's numbers."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal

ORDER_CANCELED, ORDER_REJECTED, ORDER_EXPIRED = 2, 5, 6
TIME_DAY = 1
DEAL_BUY, DEAL_SELL = 0, 1
ENTRY_IN, ENTRY_OUT_BY = 0, 3
REASON_EXPERT, REASON_STOP_LOSS, REASON_TAKE_PROFIT, REASON_STOP_OUT = 3, 4, 5, 6
# Client, mobile, web: a person's own.
BY_HAND = frozenset({0, 1, 2})


@dataclass(frozen=True, slots=True)
class BookOrder:
    """An order, working or past."""

    ticket: int
    magic: int
    comment: str
    symbol: str
    type: int
    state: int
    position: int = 0
    # As asked, and what is not filled of it.
    volume: float = 0.0
    rest: float = 0.0
    price: float = 0.0
    limit_price: float = 0.0
    stop_loss: float = 0.0
    take_profit: float = 0.0
    # By the trade server's clock, 0: never; whether that is the end of its day or a time of its own.
    expires_s: int = 0
    type_time: int = 0


@dataclass(frozen=True, slots=True)
class BookDeal:
    ticket: int
    order: int
    magic: int
    comment: str
    symbol: str
    type: int
    volume: float
    price: float
    entry: int = ENTRY_IN
    # Whose it is, also after a reversal, and when that is closed.
    position: int = 0
    reason: int = REASON_EXPERT
    profit: float = 0.0
    commission: float = 0.0
    swap: float = 0.0
    # By the trade server's clock.
    time_msc: int = 0

    @property
    def signed(self) -> Decimal:
        """Lots, negative for what was sold."""
        return lots(self.volume if self.type == DEAL_BUY else -self.volume)


@dataclass(frozen=True, slots=True)
class BookPosition:
    ticket: int
    magic: int
    comment: str
    symbol: str
    type: int
    volume: float
    price_open: float
    # What its deals name it by: the ticket that it had at first.
    identifier: int = 0
    stop_loss: float = 0.0
    take_profit: float = 0.0
    price: float = 0.0
    profit: float = 0.0
    swap: float = 0.0
    opened_msc: int = 0

    @property
    def signed(self) -> Decimal:
        """Lots, negative for what was sold."""
        return lots(self.volume if self.type == DEAL_BUY else -self.volume)


@dataclass(frozen=True, slots=True)
class Money:
    """What the account is worth, in its own currency."""

    balance: float
    equity: float
    margin: float
    margin_free: float


@dataclass(frozen=True, slots=True)
class Books:
    """What is open, and a part of the past, read by a worker that holds the terminal's lock: an earlier one is dead.

    `connected_for_s`: since when the terminal had its broker all the time; 0 while it has not.
    """

    connected_for_s: float
    orders: tuple[BookOrder, ...]
    history_orders: tuple[BookOrder, ...]
    deals: tuple[BookDeal, ...]
    positions: tuple[BookPosition, ...]
    money: Money = Money(0.0, 0.0, 0.0, 0.0)
    # Of the newest quote that the terminal has; 0: none was asked for.
    server_s: int = 0
    # The past is told up to this second of the server's clock, and goes on from there; 0: all of it was told.
    next_s: int = 0

    def named(self, name: Callable[[str], str]) -> "Books":
        """With other names of the symbols."""
        return replace(
            self,
            orders=tuple(replace(row, symbol=name(row.symbol)) for row in self.orders),
            history_orders=tuple(replace(row, symbol=name(row.symbol)) for row in self.history_orders),
            deals=tuple(replace(row, symbol=name(row.symbol)) for row in self.deals),
            positions=tuple(replace(row, symbol=name(row.symbol)) for row in self.positions),
        )


def lots(volume: float) -> Decimal:
    """A terminal counts lots in steps of 10^-8."""
    return round(Decimal(repr(float(volume))), 8).normalize()
