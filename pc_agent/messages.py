"""What the agent and its worker say to each other over their pipe."""

from dataclasses import dataclass, field
from pathlib import Path

from pc_agent.domain.orders import Mark, Result, Side
from pc_agent.domain.reconciliation import Books
from pc_agent.domain.symbol_feed import Reading
from pc_agent.domain.tick_cursor import Anchor

__all__ = [
    "AccountFacts",
    "BooksRead",
    "CloseSymbol",
    "Command",
    "Connected",
    "Credit",
    "Disconnected",
    "Event",
    "HistoryFound",
    "OrderDone",
    "OrderTask",
    "Pulse",
    "ReadBooks",
    "Reading",
    "Stop",
    "SymbolFacts",
    "TicksRead",
    "WorkerTerms",
]


@dataclass(frozen=True, slots=True)
class WorkerTerms:
    """What a worker is started with; it reads the password itself."""

    instance: str
    log_level: str
    log_format: str
    terminal_module: str
    terminal_path: str
    login: int
    server: str
    password_file: Path | None
    symbols: tuple[str, ...]
    lock_file: Path
    idle_ms: int
    deviation_points: int
    agent_pid: int


# agent to worker


@dataclass(frozen=True, slots=True)
class CloseSymbol:
    symbol: str


@dataclass(frozen=True, slots=True)
class Credit:
    """So many ticks more may be read of this symbol."""

    symbol: str
    ticks: int


@dataclass(frozen=True, slots=True)
class OrderTask:
    """A market order. It is not sent after either monotonic time (the clock is the machine's, not the process's)."""

    signal_id: str
    symbol: str
    side: Side
    volume: float
    stop_loss: float
    take_profit: float
    mark: Mark
    login: int
    expires_ns: int
    lease_until_ns: int


@dataclass(frozen=True, slots=True)
class ReadBooks:
    """Past orders and deals since two days before `since_unix_s` that bear one of `marks`, and all that is open."""

    request: int
    since_unix_s: int
    marks: tuple[Mark, ...]


@dataclass(frozen=True, slots=True)
class Stop:
    """Let the terminal go and end."""


Command = Reading | CloseSymbol | Credit | OrderTask | ReadBooks | Stop


# worker to agent


@dataclass(frozen=True, slots=True)
class AccountFacts:
    server: str
    login: int
    # MT5's number: 0 demo, 1 contest, 2 real.
    trade_mode: int


@dataclass(frozen=True, slots=True)
class SymbolFacts:
    symbol: str
    digits: int
    volume_min: float
    volume_max: float
    volume_step: float
    contract_size: float
    # Of its newest tick; 0: there is none.
    newest_msc: int


@dataclass(frozen=True, slots=True)
class Connected:
    """The terminal answers. The sender holds its lock: no other worker lives."""

    account: AccountFacts
    symbols: tuple[SymbolFacts, ...]


@dataclass(frozen=True, slots=True)
class Disconnected:
    reason: str


@dataclass(frozen=True, slots=True)
class TicksRead:
    """New ticks of a symbol; columns by name as little-endian bytes."""

    symbol: str
    generation: int
    read_unix_ns: int
    columns: dict[str, bytes] = field(repr=False)


@dataclass(frozen=True, slots=True)
class HistoryFound:
    """What the terminal holds where reading began."""

    symbol: str
    generation: int
    anchor: Anchor


@dataclass(frozen=True, slots=True)
class OrderDone:
    signal_id: str
    result: Result


@dataclass(frozen=True, slots=True)
class BooksRead:
    """`books` None: they could not be read, for `reason`."""

    request: int
    books: Books | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Pulse:
    """The worker's loop turns."""


Event = Connected | Disconnected | TicksRead | HistoryFound | OrderDone | BooksRead | Pulse
