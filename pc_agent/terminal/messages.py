"""What the agent and its worker say to each other over their pipe."""

from dataclasses import dataclass, field
from pathlib import Path

from mesh.market import BEFORE_FIRST, TickId
from mesh.market.digest import Digest
from pc_agent.domain.books import Books
from pc_agent.domain.orders import Mark
from pc_agent.domain.symbol_feed import Reading
from pc_agent.domain.symbols import SymbolFacts
from pc_agent.domain.tick_cursor import Anchor
from pc_agent.terminal.order_tasks import Again, OrderDone, OrderTask, PriceBounds, Sending, SendOrders

__all__ = [
    "AccountFacts",
    "Again",
    "BooksRead",
    "CloseSymbol",
    "Command",
    "Connected",
    "Credit",
    "Disconnected",
    "Event",
    "HistoryFound",
    "HistoryPage",
    "NewestRead",
    "OrderDone",
    "OrderTask",
    "PriceBounds",
    "Pulse",
    "ReadBooks",
    "ReadHistory",
    "ReadNewest",
    "Reading",
    "SendOrders",
    "Sending",
    "Stop",
    "SymbolFacts",
    "SymbolsShown",
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
    # Empty: all that the terminal shows, looked at again every `symbols_look_s`.
    symbols: tuple[str, ...]
    symbols_look_s: float
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
class ReadBooks:
    """What is open, and a page of the past from second `from_s` of the server's clock: every deal.

    With `marks` or `orders` (tickets): the deals and the past orders that bear one of them, and no others.
    """

    request: int
    from_s: int
    marks: tuple[Mark, ...] = ()
    orders: tuple[int, ...] = ()
    # The symbol whose newest quote tells the server's time; empty: it is not asked for.
    quote_of: str = ""


@dataclass(frozen=True, slots=True)
class ReadHistory:
    """One page of the history behind `after` and before `to_msc`, read when nothing else is to do.

    `bucket_ms` 0: the ticks; else the digests of the buckets, counted from `from_msc`, that they lie in.
    """

    request: int
    symbol: str
    after: TickId
    from_msc: int
    to_msc: int
    bucket_ms: int = 0


@dataclass(frozen=True, slots=True)
class ReadNewest:
    """Which tick is the newest that the terminal shows?"""

    request: int
    symbol: str


@dataclass(frozen=True, slots=True)
class Stop:
    """Let the terminal go and end."""


Command = Reading | CloseSymbol | Credit | SendOrders | ReadBooks | ReadHistory | ReadNewest | Stop


# worker to agent


@dataclass(frozen=True, slots=True)
class AccountFacts:
    server: str
    login: int
    # MT5's number: 0 demo, 1 contest, 2 real.
    trade_mode: int


@dataclass(frozen=True, slots=True)
class Connected:
    """The terminal answers. The sender holds its lock: no other worker lives."""

    account: AccountFacts
    symbols: tuple[SymbolFacts, ...]


@dataclass(frozen=True, slots=True)
class SymbolsShown:
    """The terminal shows other symbols than before: now these."""

    symbols: tuple[SymbolFacts, ...]


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The terminal is away. No symbol is open any more."""

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
class BooksRead:
    """`books` None: they could not be read, for `reason`."""

    request: int
    books: Books | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """An answer to ReadHistory: `columns` as in TicksRead (empty: no ticks), or `digests`; `error` says why neither.

    `last`: behind which the next page begins; `ended`: there is none.
    """

    request: int
    last: TickId = BEFORE_FIRST
    ended: bool = True
    read_unix_ns: int = 0
    columns: dict[str, bytes] = field(default_factory=dict, repr=False)
    digests: tuple[Digest, ...] = ()
    error: str = ""


@dataclass(frozen=True, slots=True)
class NewestRead:
    """`newest` 0/0: there is none, or the terminal is away."""

    request: int
    newest: TickId


@dataclass(frozen=True, slots=True)
class Pulse:
    """The worker's loop turns."""


Event = (
    Connected
    | SymbolsShown
    | Disconnected
    | TicksRead
    | HistoryFound
    | Sending
    | OrderDone
    | BooksRead
    | HistoryPage
    | NewestRead
    | Pulse
)
