"""Orders over the pipe: what the worker is asked to send, and what it says of it."""

from dataclasses import dataclass

from mesh.orders import Kind
from pc_agent.domain.orders import Mark, Result, Signal
from pc_agent.domain.price_checks import PriceBounds

__all__ = ["AWAY_MS", "Again", "OrderDone", "OrderTask", "PriceBounds", "SendOrders", "Sending"]

# After how long an order may be tried again that was not sent because the terminal was away.
AWAY_MS = 100


@dataclass(frozen=True, slots=True)
class OrderTask:
    """One call of `order_send`. It is not made after either time (`mesh.clock.boot_ns`, the same for all processes).

    `first_price`: at which the first attempt was made, 0: this is the first. `server_ahead_s`: the trade server's clock
    less the engine's.
    """

    signal: Signal
    mark: Mark
    login: int
    expires_ns: int
    lease_until_ns: int
    bounds: PriceBounds
    first_price: float = 0.0
    # What a lot needed lately, in the account's currency; 0: nobody knows.
    margin_per_lot: float = 0.0
    server_ahead_s: int = 0

    @property
    def signal_id(self) -> str:
        return self.signal.signal_id

    @property
    def symbol(self) -> str:
        return self.signal.symbol

    @property
    def kind(self) -> Kind:
        """One that nobody knows is refused before it gets here."""
        assert self.signal.kind is not None
        return self.signal.kind


# agent to worker


@dataclass(frozen=True, slots=True)
class SendOrders:
    """In this order, ahead of everything else. Each is answered by one OrderDone; no others of their symbols follow
    before that."""

    tasks: tuple[OrderTask, ...]


# worker to agent


@dataclass(frozen=True, slots=True)
class Sending:
    """Said right before `order_send` is called."""

    signal_id: str
    called_unix_ns: int


@dataclass(frozen=True, slots=True)
class Again:
    """It was proven not executed, and may be sent again, but not before the pause is over."""

    first_price: float = 0.0
    pause_ms: int = 0


@dataclass(frozen=True, slots=True)
class OrderDone:
    """`again` None: `result` is what came of it. Else `result` says why it was not executed this time."""

    signal_id: str
    result: Result
    again: Again | None = None
