"""What the agent of an account said last: what it trades, what its terminal holds, what it allows, its markets."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from suho.trading.v1 import agent_link_pb2 as link
from suho.trading.v1 import order_pb2

from services.trading_engine.domain.order import Books, Halt, HeldPosition, Market, Side, SymbolSpec, WorkingOrder


@dataclass(slots=True)
class AgentSaid:
    """Of one stream. `books` is None until its first snapshot."""

    symbols: Mapping[str, SymbolSpec]
    hedging: bool
    safety: link.AgentSafety
    snapshot: link.AccountSnapshot | None = None
    books: Books | None = None
    conditions: dict[str, order_pb2.MarketConditions] = field(default_factory=dict)
    markets: dict[str, Market] = field(default_factory=dict)

    @property
    def halt(self) -> Halt | None:
        if not self.safety.halted:
            return None
        return Halt(self.safety.reason or "AGENT_HALTED", self.safety.message)

    def take_snapshot(self, snapshot: link.AccountSnapshot) -> None:
        """Raises ValueError (InvalidOperation included) when it is not one."""
        self.books = books_of(snapshot)
        self.snapshot = snapshot

    def take_market(self, report: link.MarketReport) -> None:
        """What it says of symbols that it does not trade is left out: there is no end to such names."""
        for item in report.conditions:
            if item.symbol in self.symbols:
                self.conditions[item.symbol] = item
                self.markets[item.symbol] = Market(item.session_open, item.news)


def books_of(snapshot: link.AccountSnapshot) -> Books:
    """Raises ValueError (InvalidOperation included) when it is not one."""
    return Books(
        {item.ticket: _position(item) for item in snapshot.positions},
        {item.ticket: WorkingOrder(item.ticket, item.symbol, item.signal_id) for item in snapshot.orders},
    )


def _position(message: order_pb2.Position) -> HeldPosition:
    return HeldPosition(message.ticket, message.symbol, Side(message.side), Decimal(message.volume), message.signal_id)
