"""Orders on their way to the terminal: those of one symbol in their order, one message at a time."""

from bisect import insort
from dataclasses import dataclass, field
from itertools import count

from pc_agent.domain.orders import Entry


@dataclass(slots=True)
class Order:
    """A signal that may be sent, and what is known of attempts that the broker refused."""

    entry: Entry
    # Among those of its symbol; given by the queue.
    place: int = 0
    attempts: int = 0
    first_price: float = 0.0
    # Monotonic: not again before, and not at all after; 0: not known yet.
    not_before_ns: int = 0
    expires_ns: int = 0
    queued_unix_ns: int = 0

    @property
    def signal_id(self) -> str:
        return self.entry.signal.signal_id

    @property
    def symbol(self) -> str:
        return self.entry.signal.symbol


@dataclass(slots=True)
class _Line:
    waiting: list[Order] = field(default_factory=list)
    flying: int = 0


class OrderQueues:
    """What waits and what the terminal has."""

    def __init__(self) -> None:
        self._lines: dict[str, _Line] = {}
        self._waiting: dict[str, Order] = {}
        self._flying: dict[str, Order] = {}
        self._places = count(1)

    def __len__(self) -> int:
        return len(self._waiting) + len(self._flying)

    def __contains__(self, signal_id: str) -> bool:
        return signal_id in self._waiting or signal_id in self._flying

    @property
    def any_waits(self) -> bool:
        return bool(self._waiting)

    def is_idle(self, symbol: str) -> bool:
        """Nothing of it waits or is at the terminal."""
        return symbol not in self._lines

    def flying(self, signal_id: str) -> Order | None:
        """What the terminal has."""
        return self._flying.get(signal_id)

    def wait(self, order: Order) -> None:
        """Behind what waits already; one that comes back from the terminal takes its old place."""
        line = self._line(order)
        if self._flying.pop(order.signal_id, None):
            line.flying -= 1
        order.place = order.place or next(self._places)
        insort(line.waiting, order, key=lambda one: one.place)
        self._waiting[order.signal_id] = order

    def fly(self, order: Order) -> None:
        """It is handed to the terminal now."""
        line = self._line(order)
        self._stop_waiting(line, order)
        order.place = order.place or next(self._places)
        line.flying += 1
        self._flying[order.signal_id] = order

    def end(self, order: Order) -> None:
        """It is over, or not to be sent any more."""
        line = self._line(order)
        self._stop_waiting(line, order)
        if self._flying.pop(order.signal_id, None):
            line.flying -= 1
        if not line.waiting and not line.flying:
            del self._lines[order.symbol]

    def due(self) -> list[list[Order]]:
        """What waits of each symbol of which the terminal has nothing."""
        if not self._waiting:
            return []
        return [list(line.waiting) for line in self._lines.values() if line.waiting and not line.flying]

    def _line(self, order: Order) -> _Line:
        return self._lines.setdefault(order.symbol, _Line())

    def _stop_waiting(self, line: _Line, order: Order) -> None:
        if self._waiting.pop(order.signal_id, None):
            line.waiting.remove(order)
