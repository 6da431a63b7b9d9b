"""What `suho up` shows to people."""

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from compose.embedded.facts import Stored
from compose.embedded.memory import memory_mb
from compose.embedded.ports import kind_of
from compose.embedded.supervisor import Phase, Supervised
from compose.embedded.watch import Snapshot

# What becomes ready together, for the lines that say how long each part took.
_PHASES = (
    ("engines", ("postgres", "clickhouse", "valkey", "nats")),
    ("hub", ("hub",)),
    ("services", ("database", "data-bridge", "trading-engine")),
    ("twin terminal", ("twin",)),
    ("agent", ("pc-agent",)),
)


class Screen:
    """Lines for a log, a live view for a terminal; on standard error when standard output belongs to programs."""

    def __init__(self, as_json: bool) -> None:
        self._console = Console(stderr=as_json, highlight=False, soft_wrap=True)
        self._shown: set[str] = set()
        self._bars = Progress(
            TextColumn("{task.description:>10}"),
            BarColumn(),
            TextColumn("{task.percentage:3.0f} %"),
            TextColumn("{task.completed:,.0f} of {task.total:,.0f}"),
            TimeRemainingColumn(),
        )
        self._bar_of: dict[str, TaskID] = {}
        self._live = Live(console=self._console, auto_refresh=False, transient=True)

    def view(self) -> AbstractContextManager[object]:
        """The live view is there until the end of the block."""
        return self._live if self._console.is_terminal else nullcontext()

    def tell(self, text: str) -> None:
        self._console.print(text, markup=False)

    def opening(self, folder: Path, ephemeral: bool, ports: Mapping[str, int]) -> None:
        """The first thing printed."""
        self.tell(f"state   {folder}{' (temporary)' if ephemeral else ''}")
        self.tell(f"ports   {' '.join(f'{name} {port}' for name, port in ports.items())}")
        hub = f"127.0.0.1:{ports['hub']}"
        self.tell(f"try     grpcurl -plaintext {hub} suho.hub.v1.RegistryService/ListServices")

    def closing(self, kept: Path | None) -> None:
        """Told when everything has ended; None: the state was temporary."""
        self.tell("stopped; nothing is kept" if kept is None else f"stopped; state kept in {kept}")

    def phases(self, supervised: Mapping[str, Supervised]) -> None:
        """Tell of each part that has become ready."""
        for phase, names in _PHASES:
            times = [one.ready_s for one in supervised.values() if kind_of(one.name) in names]
            if phase not in self._shown and None not in times:
                self._shown.add(phase)
                self.tell(f"{phase:14} ready after {max(time or 0.0 for time in times):.1f} s")

    def status(self, supervised: Iterable[Supervised], now: Snapshot, before: Snapshot, unanswered: str) -> None:
        """How things stand, once a second."""
        programs = list(supervised)
        line = " · ".join([_programs_line(programs), *_symbol_parts(now, before), _orders_part(now)])
        if unanswered:
            line += f" · counts of a moment ago: {unanswered}"
        if not self._console.is_terminal:
            self.tell(line)
            return
        parts: list[object] = [_programs_table(programs), Text(line, overflow="fold", no_wrap=False)]
        if self._replays(now):
            parts.append(self._bars)
        # Ctrl-C is echoed here: at the end of a full line it would push away what is to be erased.
        parts.append(Text())
        self._live.update(Group(*parts), refresh=True)  # type: ignore[arg-type]

    def _replays(self, now: Snapshot) -> bool:
        for symbol, feed in now.feeds.items():
            if feed.total is not None:
                if symbol not in self._bar_of:
                    self._bar_of[symbol] = self._bars.add_task(symbol, total=feed.total)
                done = now.stored.get(symbol, Stored()).accounted
                self._bars.update(self._bar_of[symbol], completed=done)
        return bool(self._bar_of)


def _programs_line(programs: list[Supervised]) -> str:
    waiting = [f"{one.name} {one.phase}" for one in programs if one.phase is not Phase.READY]
    state = ", ".join(waiting) or f"{len(programs)} programs ready"
    restarts = sum(one.restarts for one in programs)
    return f"{state}, {restarts} restarts, {sum(map(memory_mb, programs)):,.0f} MB"


def _programs_table(programs: list[Supervised]) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in ("program", "state", "restarts", "MB"):
        table.add_column(column, justify="right" if column in ("restarts", "MB") else "left")
    for one in programs:
        table.add_row(one.name, one.phase, str(one.restarts), f"{memory_mb(one):,.0f}")
    return table


def _symbol_parts(now: Snapshot, before: Snapshot) -> list[str]:
    seconds = now.at_s - before.at_s
    parts = []
    for symbol in sorted(now.feeds):
        count = now.stored.get(symbol, Stored()).accounted
        grown = count - before.stored.get(symbol, Stored()).accounted
        rate = grown / seconds if before.at_s else 0.0
        parts.append(f"{symbol} {rate:,.0f}/s {count:,} stored")
    return parts


def _orders_part(now: Snapshot) -> str:
    return "orders: " + (", ".join(f"{count} {state}" for state, count in now.orders.by_state.items()) or "none")
