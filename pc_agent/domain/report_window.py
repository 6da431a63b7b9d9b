"""Which reports are on their way to the engine."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

MOST = 200
# Not worth a look into the ledger while there is room for fewer.
_LEAST_ROOM = MOST // 4
_REPEAT_NS = 5 * 10**9


class Numbered(Protocol):
    """A report: its name, and its place in the order in which reports were made."""

    @property
    def report_id(self) -> str: ...
    @property
    def place(self) -> int: ...


R = TypeVar("R", bound=Numbered)


@dataclass(slots=True)
class _Sent(Generic[R]):
    report: R
    reported_unix_ns: int
    again_at_ns: int
    pause_ns: int = _REPEAT_NS


class ReportWindow(Generic[R]):
    """Sent and not acknowledged, so many at most; what is behind them waits in the ledger.

    Reports come out with when each was put on a lane for the first time.
    """

    def __init__(self) -> None:
        self._sent: dict[str, _Sent[R]] = {}
        self._first: dict[str, int] = {}
        # Everything up to here was sent on this stream.
        self.place = 0
        # The ledger has, or may have, more; it is being asked.
        self._behind = True
        self._asking = False

    def __len__(self) -> int:
        return len(self._sent)

    def begin(self) -> None:
        """A new stream: nothing is on its way."""
        self._first |= {name: one.reported_unix_ns for name, one in self._sent.items()}
        self._sent.clear()
        self.place, self._behind, self._asking = 0, True, False

    def take(self, reports: Sequence[R], now_ns: int, now_unix_ns: int) -> list[tuple[R, int]]:
        """Reports that were just made: they can be sent, unless others are before them or there is no room."""
        if self._behind or self._asking or len(self._sent) + len(reports) > MOST:
            self._behind = True
            return []
        return self._put(self._unsent(reports), now_ns, now_unix_ns)

    def wants(self) -> int:
        """How many of the ledger's next there is room for; 0: none are needed now."""
        room = MOST - len(self._sent)
        if not self._behind or room < _LEAST_ROOM:
            return 0
        self._behind, self._asking = False, True
        return room

    def fill(self, reports: Sequence[R], asked: int, now_ns: int, now_unix_ns: int) -> list[tuple[R, int]]:
        """The ledger's next behind `place`, of which `asked` were asked for."""
        self._asking = False
        self._behind = self._behind or len(reports) == asked
        return self._put(self._unsent(reports), now_ns, now_unix_ns)

    def done(self, report_id: str) -> None:
        """The engine has answered."""
        self._sent.pop(report_id, None)
        self._first.pop(report_id, None)

    def due_again(self, now_ns: int) -> list[tuple[R, int]]:
        """What the engine has not answered for too long: again, and then after twice the time."""
        due = [one for one in self._sent.values() if one.again_at_ns <= now_ns]
        for one in due:
            one.pause_ns *= 2
            one.again_at_ns = now_ns + one.pause_ns
        return [(one.report, one.reported_unix_ns) for one in due]

    def next_ns(self) -> int | None:
        """Monotonic time at which something is due again; None: nothing is on its way."""
        return min((one.again_at_ns for one in self._sent.values()), default=None)

    def _unsent(self, reports: Sequence[R]) -> list[R]:
        return [one for one in reports if one.place > self.place]

    def _put(self, reports: Sequence[R], now_ns: int, now_unix_ns: int) -> list[tuple[R, int]]:
        put = []
        for report in reports:
            first = self._first.get(report.report_id, now_unix_ns)
            self._sent[report.report_id] = _Sent(report, first, now_ns + _REPEAT_NS)
            self.place = max(self.place, report.place)
            put.append((report, first))
        return put
