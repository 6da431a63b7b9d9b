"""What the agent and its worker say to each other over their pipe."""

from dataclasses import dataclass, field
from pathlib import Path

from mesh.market import BEFORE_FIRST, TickId
from mesh.market.digest import Digest
from pc_agent.domain.books import Books
from pc_agent.domain.orders import Mark
from pc_agent.domain.symbol_feed import Reading
from pc_agent.domain.symbol_names import NameRules
from pc_agent.domain.symbols import SymbolFacts
from pc_agent.domain.terminal_health import TerminalHealth, findings
from pc_agent.domain.tick_cursor import Anchor
from pc_agent.terminal.order_tasks import Again, OrderDone, OrderTask, PriceBounds, Sending, SendOrders

# ACCOUNT_MARGIN_MODE_RETAIL_HEDGING.
_HEDGING = 2

__all__ = [
    "AccountFacts",
    "Adjust",
    "Again",
    "BooksRead",
    "CloseSymbol",
    "Command",
    "Connected",
    "Credit",
    "Disconnected",
    "Event",
    "HealthSeen",
    "HistoryFound",
    "HistoryPage",
    "NewestRead",
    "OrderDone",
    "OrderTask",
    "PriceBounds",
    "ReadBooks",
    "ReadHistory",
    "ReadNewest",
    "Reading",
    "RefreshSymbols",
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
    """What a worker is started with; it reads the password itself. Limits: 0 is none."""

    instance: str
    name: str
    lock_file: Path
    agent_pid: int
    module: str
    path: str = ""
    portable: bool = False
    login: int = 0
    server: str = ""
    password_file: Path | None = None
    # By the mesh's names; empty: all that the terminal shows, looked at again every `symbols_look_s`.
    symbols: tuple[str, ...] = ()
    symbols_look_s: float = 5.0
    names: NameRules = field(default_factory=NameRules)
    idle_ms: int = 5
    health_s: float = 30.0
    execution_timeout_ms: int = 1_200
    read_timeout_ms: int = 30_000
    initialize_timeout_ms: int = 60_000
    cpu_limit_percent: float = 0.0
    memory_limit_mb: float = 0.0
    log_level: str = "info"
    log_format: str = "auto"
    log_file: Path | None = None
    # Of all terminals but the account's own: while one who may be at this account holds any, this one is not touched.
    other_locks: tuple[Path, ...] = ()


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
    # How many seconds the page may well reach; 0: nobody knows.
    span_s: int = 0


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
class Adjust:
    """Settings that changed; the names of WorkerTerms."""

    symbols: tuple[str, ...]
    health_s: float
    execution_timeout_ms: int
    log_level: str


@dataclass(frozen=True, slots=True)
class RefreshSymbols:
    """An order was refused for what is known of its symbol: look at all of them again, and tell."""


@dataclass(frozen=True, slots=True)
class Stop:
    """Let the terminal go and end."""


Command = (
    Reading | CloseSymbol | Credit | SendOrders | ReadBooks | ReadHistory | ReadNewest | Adjust | RefreshSymbols | Stop
)


# worker to agent


@dataclass(frozen=True, slots=True)
class AccountFacts:
    server: str
    login: int
    # MT5's numbers: 0 demo, 1 contest, 2 real; 0 netting, 1 exchange, 2 hedging.
    trade_mode: int
    margin_mode: int = 0
    currency: str = ""
    leverage: int = 0

    @property
    def is_hedging(self) -> bool:
        """Positions of a symbol stand beside each other, each with a ticket of its own."""
        return self.margin_mode == _HEDGING


@dataclass(frozen=True, slots=True)
class Connected:
    """The terminal answers. The sender holds its lock: no other worker lives.

    `unknown`: of the symbols that the settings name, those that it has not got; written for people.
    """

    account: AccountFacts
    symbols: tuple[SymbolFacts, ...]
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SymbolsShown:
    """All that the terminal carries, and what it says of them now; told when it changed and every few minutes.

    In parts where they are many: of all but the last there is `more`. `unknown` as in Connected.
    """

    symbols: tuple[SymbolFacts, ...]
    unknown: tuple[str, ...] = ()
    more: bool = False


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The terminal is away. No symbol is open any more."""

    reason: str


@dataclass(frozen=True, slots=True)
class TicksRead:
    """New ticks of a symbol; columns by name as little-endian bytes. `is_newest`: it has no more behind them."""

    symbol: str
    generation: int
    read_unix_ns: int
    columns: dict[str, bytes] = field(repr=False)
    is_newest: bool = False


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

    `last`: behind which the next page begins; `ended`: there is none. `is_loading`: the terminal has not got that part
    of its history yet and loads it: ask again.
    """

    request: int
    last: TickId = BEFORE_FIRST
    ended: bool = True
    read_unix_ns: int = 0
    columns: dict[str, bytes] = field(default_factory=dict, repr=False)
    digests: tuple[Digest, ...] = ()
    error: str = ""
    is_loading: bool = False


@dataclass(frozen=True, slots=True)
class NewestRead:
    """`newest` 0/0: there is none, or the terminal is away."""

    request: int
    newest: TickId


@dataclass(frozen=True, slots=True)
class HealthSeen:
    """Told when it changed, and every `health_s`.

    `broker_since`: monotonic seconds since when the terminal has had its broker without a break; None: it has not.
    """

    health: TerminalHealth
    broker_since: float | None
    path: str = ""
    company: str = ""
    balance: float = 0.0
    equity: float = 0.0

    def differs(self, other: "HealthSeen") -> bool:
        """In more than its measurements."""
        return self.broker_since != other.broker_since or findings(self.health) != findings(other.health)


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
    | HealthSeen
)
