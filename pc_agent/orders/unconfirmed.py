"""What the person at the PC has not confirmed yet, and what keeps its place behind it."""

from collections.abc import Callable

from mesh.clock import unix_ms
from mesh.log import get_logger
from mesh.orders import ENTRIES
from pc_agent.domain.order_queues import Order
from pc_agent.domain.orders import OrderState, Result
from pc_agent.orders.admission import Admission
from pc_agent.orders.confirmations import Question

log = get_logger(__name__)

# More than a person can answer.
_MOST = 200
_UNASKED = Result(OrderState.REJECTED, "NOT_CONFIRMED", f"{_MOST} others wait to be confirmed already")
_LATE = Result(OrderState.EXPIRED, "EXPIRED", "nobody confirmed it (trade_confirmation) before its time ran out")
_BEHIND = Result(
    OrderState.EXPIRED, "EXPIRED", "an earlier entry of its symbol waited to be confirmed until its time ran out"
)
_REFUSED = Result(OrderState.REJECTED, "NOT_CONFIRMED", "the person at the PC refused it")


class Unconfirmed:
    """An account's entries that wait for the person's word. Those of a symbol go in the order in which they came, so a
    confirmed one waits for those before it. What makes nothing larger is no entry: no question holds it back.

    `go`: the person lets it; `end`: it is over, with its result.
    """

    def __init__(self, admission: Admission, go: Callable[[Order], None], end: Callable[[Order, Result], None]) -> None:
        self._admission = admission
        self._go = go
        self._end = end
        # By symbol and signal, the oldest first; and which of them wait for those before them only.
        self._lines: dict[str, dict[str, Order]] = {}
        self._confirmed: set[str] = set()

    def __len__(self) -> int:
        return sum(map(len, self._lines.values()))

    def __contains__(self, signal_id: str) -> bool:
        return any(signal_id in line for line in self._lines.values())

    def is_idle(self, symbol: str) -> bool:
        """No entry of it waits."""
        return symbol not in self._lines

    def take(self, order: Order) -> bool:
        """False: it is none of the person's business. Else it waits from now on, or is over."""
        signal, asks = order.entry.signal, self._admission.asks(order.entry.signal)
        if not asks and (signal.kind not in ENTRIES or self.is_idle(order.symbol)):
            return False
        if len(self) >= _MOST:
            self._end(order, _UNASKED)
            return True
        self._lines.setdefault(order.symbol, {})[order.signal_id] = order
        if asks:
            self._ask(order)
        else:
            self._confirmed.add(order.signal_id)
        return True

    def end_late(self) -> None:
        """End those whose time is over; what they held back may go."""
        late = [one for line in self._lines.values() for one in line.values() if self._admission.is_late(one)]
        for order in late:
            self._admission.confirmations.withdraw(order.signal_id)
            self._end(order, _BEHIND if order.signal_id in self._confirmed else _LATE)
            self._drop(order)
        for symbol in {order.symbol for order in late}:
            self._let_go(symbol)

    def _ask(self, order: Order) -> None:
        until_ms = self._admission.until_unix_ms(order)
        question = Question(order.entry.signal, until_ms, lambda said: self._answered(order, said))
        self._admission.confirmations.ask(question)
        log.info("waits for confirmation", signal_id=order.signal_id, until_s=(until_ms - unix_ms()) / 1000)

    def _answered(self, order: Order, confirmed: bool) -> str:
        if confirmed:
            self._confirmed.add(order.signal_id)
        else:
            self._drop(order)
            self._end(order, _REFUSED)
        self._let_go(order.symbol)
        return next(iter(self._lines[order.symbol])) if order.signal_id in self else ""

    def _let_go(self, symbol: str) -> None:
        """What is confirmed, up to the first that is not."""
        for order in list(self._lines.get(symbol, {}).values()):
            if order.signal_id not in self._confirmed:
                return
            self._drop(order)
            self._go(order)

    def _drop(self, order: Order) -> None:
        line = self._lines[order.symbol]
        del line[order.signal_id]
        self._confirmed.discard(order.signal_id)
        if not line:
            del self._lines[order.symbol]
