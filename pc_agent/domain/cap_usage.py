"""How much of this PC's caps an account uses: what the books show, and entries that they do not show yet."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from mesh.orders import ENTRIES
from pc_agent.domain import safety as rules
from pc_agent.domain.books import Books
from pc_agent.domain.orders import Entry, OrderState, Signal
from pc_agent.domain.safety import RATE_S, UnderWay
from pc_agent.domain.validation import decimal

# A terminal may lag behind the one that executed; one whose deal no look shows is counted for so long.
_SHOWN_AT_LAST_S = 60.0
_AT_THE_BROKER = frozenset({OrderState.FILLED, OrderState.PARTIALLY_FILLED, OrderState.PLACED})


@dataclass(frozen=True, slots=True)
class _Answered:
    """An entry that is at the broker, and when that was known."""

    entry: Entry
    at: float


class CapUsage:
    """An entry counts from its intent on: until it is known never to have been, or until the books show it.

    All times are of one monotonic clock, in seconds.
    """

    def __init__(self, *, hedging: bool) -> None:
        self._hedging = hedging
        self._held = rules.held((), (), hedging=hedging)
        # By symbol and signal; and those of them that are at the broker.
        self._under_way: dict[str, dict[str, UnderWay]] = {}
        self._answered: dict[str, _Answered] = {}
        # When those of the last minute were begun, the oldest first.
        self._begun: deque[float] = deque()

    def begin(self, signal: Signal, now: float) -> None:
        """It is about to be executed."""
        if signal.kind in ENTRIES:
            self._under_way.setdefault(signal.symbol, {})[signal.signal_id] = UnderWay(signal)
            self._begun.append(now)

    def recall(self, begun: Sequence[float]) -> None:
        """When earlier ones were begun, the oldest first."""
        self._begun.extendleft(reversed(begun))

    def note(self, entry: Entry, now: float) -> None:
        """What came of one."""
        name, of_symbol = entry.signal.signal_id, self._under_way.get(entry.signal.symbol, {})
        if entry.state is OrderState.UNKNOWN:
            self._note_doubt(entry.signal)
        elif name not in of_symbol:
            return
        elif entry.state in _AT_THE_BROKER:
            self._answered[name] = _Answered(entry, now)
            volume = entry.result.volume
            of_symbol[name] = UnderWay(entry.signal, Decimal(volume) if volume else None)
        elif entry.is_final:
            del of_symbol[name]

    def look(self, books: Books, asked: float, has_shown: Callable[[int], bool]) -> None:
        """The books, which were asked for at that time; what they show counts as they show it.

        `has_shown`: they have shown a deal.
        """
        self._held = rules.held(books.positions, books.orders, hedging=self._hedging)
        for name, answered in list(self._answered.items()):
            if _is_shown(answered, books, asked, has_shown):
                del self._answered[name]
                self._under_way[answered.entry.signal.symbol].pop(name, None)

    @property
    def expected(self) -> dict[str, frozenset[str]]:
        """By symbol, signals that may be at the broker and that the books do not show yet."""
        return {symbol: frozenset(names) for symbol, names in self._under_way.items() if names}

    def measured(self, symbol: str, now: float) -> rules.Account:
        """As far as an entry on `symbol` is concerned."""
        while self._begun and now - self._begun[0] >= RATE_S:
            self._begun.popleft()
        under_way = {name: some.values() for name, some in self._under_way.items()}
        return rules.measure(self._held, symbol, under_way, len(self._begun), hedging=self._hedging)

    def _note_doubt(self, signal: Signal) -> None:
        """Perhaps of an agent before this one, or of another ledger: then nobody has judged its fields."""
        if signal.kind in ENTRIES and decimal(signal.volume) > 0:
            self._under_way.setdefault(signal.symbol, {}).setdefault(signal.signal_id, UnderWay(signal))


def _is_shown(answered: _Answered, books: Books, asked: float, has_shown: Callable[[int], bool]) -> bool:
    """The books count it from now on."""
    since_s, result = asked - answered.at, answered.entry.result
    if since_s <= 0:
        return False
    is_there = not result.deal or has_shown(result.deal)
    if answered.entry.state is OrderState.PLACED:
        is_there = any(order.ticket == result.ticket for order in books.orders)
    return is_there or since_s > _SHOWN_AT_LAST_S
