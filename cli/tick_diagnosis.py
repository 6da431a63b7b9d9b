"""What is wrong with the way of one symbol's ticks, and what to do about it: rules over facts, nothing else."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from mesh.market import BEFORE_FIRST, TickId

# A stage that is further behind than this has stopped, or has more to do than it can.
LATE_MS = 5_000
LATE_MESSAGES = 10_000
FULL = 0.8


class Severity(StrEnum):
    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True)
class Finding:
    """What is wrong, and what to do about it."""

    severity: Severity
    what: str
    remedy: str


@dataclass(frozen=True)
class Agent:
    """Where the agent stands; BEFORE_FIRST where nothing is known."""

    terminal: TickId
    read: TickId
    sent: TickId
    acknowledged: TickId
    terminal_connected: bool = True


@dataclass(frozen=True)
class Sink:
    log: str
    store: str
    stored_seq: int
    holder: str
    stopped_reason: str = ""


@dataclass(frozen=True)
class Log:
    name: str
    last_seq: int
    bytes: int
    max_bytes: int


@dataclass(frozen=True)
class Incident:
    kind: str
    at_unix_ms: int
    ticks: int = 0
    detail: str = ""


@dataclass(frozen=True)
class Facts:
    """What the stages said of (server, symbol); None where a program did not answer."""

    symbol: str
    bridge_error: str = ""  # why it could not be asked
    database_error: str = ""
    streams: str = ""  # the agent that does
    standing_by: tuple[str, ...] = ()
    agent: Agent | None = None
    cursor: TickId = BEFORE_FIRST
    log_seq: int = 0
    log_last: TickId = BEFORE_FIRST
    # The newest message of the symbol in the log: when the agent read it, and how long it took to be logged.
    read_ago_ms: int | None = None
    logged_after_ms: float | None = None
    missing_ticks: int = 0
    sinks: tuple[Sink, ...] = ()
    logs: tuple[Log, ...] = ()
    stored: TickId = BEFORE_FIRST
    cached: TickId | None = BEFORE_FIRST
    quarantined: int = 0
    incidents: tuple[Incident, ...] = field(default=())  # newest first


@dataclass(frozen=True)
class Stage:
    """One stage on the way, and how far it is behind the one before; None where one of the two is not known."""

    name: str
    at: TickId | None
    behind_ms: int | None


def stages(facts: Facts) -> list[Stage]:
    """From the terminal to the cache."""
    agent = facts.agent
    asked_bridge, asked_database = not facts.bridge_error, not facts.database_error
    places: list[tuple[str, TickId | None]] = [
        ("terminal", agent.terminal if agent else None),
        ("agent read", agent.read if agent else None),
        ("agent sent", agent.sent if agent else None),
        ("bridge", facts.cursor if asked_bridge else None),
        ("log", facts.log_last if asked_bridge else None),
        ("store", facts.stored if asked_database else None),
        ("cache", facts.cached if asked_database else None),
    ]
    known = [(name, None if at == BEFORE_FIRST else at) for name, at in places]
    told: list[Stage] = []
    before: TickId | None = None
    for name, at in known:
        behind = max(before.time_msc - at.time_msc, 0) if before is not None and at is not None else None
        told.append(Stage(name, at, behind))
        before = at
    return told


def findings(facts: Facts) -> list[Finding]:
    """Everything that is wrong, along the way of a tick; empty: all is well."""
    return [*_programs(facts), *_source(facts), *_bridge(facts), *_logs(facts), *_sinks(facts), *_store(facts),
            *_history(facts)]  # fmt: skip


def _programs(facts: Facts) -> Iterator[Finding]:
    for program, error in (("data-bridge", facts.bridge_error), ("database", facts.database_error)):
        if error:
            yield _error(
                f"the {program} can not tell: {error}",
                f"`suho services` shows whether it runs, `suho logs {program}` why it does not",
            )


def _source(facts: Facts) -> Iterator[Finding]:
    if facts.bridge_error:
        return
    agent = facts.agent
    if not facts.streams and facts.standing_by:
        yield _warning(
            f"nobody streams {facts.symbol}; {', '.join(facts.standing_by)} stands by",
            "one of them takes over within seconds; ask again, and if not, `suho logs data-bridge`",
        )
    elif not facts.streams:
        yield _error(
            f"no agent streams {facts.symbol}: nothing new comes",
            "start the agent (`suho logs pc-agent` tells why it is away), and show the symbol in its terminal's"
            " Market Watch",
        )
    elif agent is None:
        silent = facts.read_ago_ms is None or facts.read_ago_ms > LATE_MS
        yield Finding(
            Severity.ERROR if silent else Severity.WARNING,
            f"agent {facts.streams} did not say where it stands",
            "it may be busy: ask again; if it stays silent, `suho logs pc-agent`, and start it anew where it hangs",
        )
    if agent is not None:
        yield from _agent(facts, agent)


def _agent(facts: Facts, agent: Agent) -> Iterator[Finding]:
    if not agent.terminal_connected:
        yield _error(
            "the terminal has no connection to its broker",
            "look at the terminal on the PC: network, login, server; ticks of that time are read when it is back",
        )
    if _late(agent.terminal, agent.read):
        yield _warning(
            f"the agent has read {_seconds(agent.terminal, agent.read)} less than its terminal shows",
            "it may be catching up: ask again; if the gap stays, `suho logs pc-agent`",
        )
    if _late(agent.sent, agent.acknowledged):
        yield _error(
            f"{_seconds(agent.sent, agent.acknowledged)} of ticks are sent and not acknowledged",
            "the log takes nothing: see the log and its sink below, and `suho logs data-bridge`",
        )


def _bridge(facts: Facts) -> Iterator[Finding]:
    if facts.bridge_error:
        return
    if facts.cursor > facts.log_last:
        yield _error(
            "the log ends before what the bridge had acknowledged: it was restored, or lost its end",
            "restart the data-bridge, so that it reads the log's end and the agents send the rest again; then"
            f" `suho ticks audit {facts.symbol} --heal`",
        )
    if facts.missing_ticks:
        yield _error(
            f"{facts.missing_ticks} ticks that the agent read never reached the log",
            f"`suho ticks audit {facts.symbol} --heal` reads them from the terminal again",
        )


def _logs(facts: Facts) -> Iterator[Finding]:
    for log in facts.logs:
        if log.max_bytes and log.bytes > FULL * log.max_bytes:
            yield _warning(
                f"log {log.name} is {100 * log.bytes // log.max_bytes} % full",
                "a full log stops the agents, who lose nothing; it is emptied as its sinks store it: see them, or give"
                " it more room",
            )


def _sinks(facts: Facts) -> Iterator[Finding]:
    last = {log.name: log.last_seq for log in facts.logs}
    for sink in facts.sinks:
        name = f"the sink of {sink.log} into {sink.store}"
        behind = last.get(sink.log, sink.stored_seq) - sink.stored_seq
        if sink.stopped_reason:
            yield _error(
                f"{name} has stopped: {sink.stopped_reason}",
                "it stops rather than store what is wrong: `suho logs database` tells more; restart the database when"
                " the reason is gone",
            )
        elif behind > 0 and not sink.holder:
            yield _warning(
                f"{name} is {behind} messages behind, and no database that was asked holds its lease",
                "another instance may; if it stays behind, `suho logs database`",
            )
        elif behind > LATE_MESSAGES:
            yield _warning(
                f"{name} is {behind} messages behind",
                "it may be catching up: ask again; if the number grows, the store is too slow or away",
            )


def _store(facts: Facts) -> Iterator[Finding]:
    if facts.database_error:
        return
    if not facts.bridge_error and _late(facts.log_last, facts.stored):
        yield _warning(
            f"the store is {_seconds(facts.log_last, facts.stored)} behind the log",
            "see the sinks above; `suho logs database`",
        )
    if facts.cached is None:
        yield _warning("the cache does not answer", "stored ticks are not touched by it; `suho logs database`")
    elif facts.stored > BEFORE_FIRST and _late(facts.stored, facts.cached):
        yield _warning(
            "the cache is behind the store",
            "the next tick of the symbol brings it up; if it stays behind, `suho logs data-bridge`",
        )
    if facts.quarantined:
        yield _warning(
            f"{facts.quarantined} ticks were refused for values that no price can have",
            "they stand in the log as a marker: `suho ticks quality` names them; tell the broker",
        )


def _history(facts: Facts) -> Iterator[Finding]:
    """Incidents that no audit has settled since."""
    settled = max((one.at_unix_ms for one in facts.incidents if one.kind == "AUDIT_HEALED"), default=0)
    open_now = [one for one in facts.incidents if one.at_unix_ms > settled]
    heal = f"`suho ticks audit {facts.symbol} --heal` reads the terminal's history again"
    said = {
        "HOLE": ("ticks are missing", heal),
        "HISTORY_CHANGED": ("the terminal's history is not what was stored of it", heal),
        "AUDIT_DIFFERS": ("an audit found differences that are not healed", heal),
        "LOG_GAP": ("messages of the log were lost before they were stored", heal),
        "ZONE_MISMATCH": (
            "the broker's clock does not follow the zone rule that is set for it",
            "correct the rule in the database's settings; raw server times are stored, UTC can be derived again",
        ),
        "STALE_SYMBOL": (
            "no tick came although the market should be open",
            "look whether the terminal shows fresh prices of it; `suho logs pc-agent`",
        ),
    }
    for kind, (what, remedy) in said.items():
        found = [one for one in open_now if one.kind == kind]
        if found:
            detail = f" ({found[0].detail})" if found[0].detail else ""
            yield Finding(Severity.WARNING, f"{len(found)} times {kind}: {what}{detail}", remedy)


def _late(ahead: TickId, behind: TickId) -> bool:
    return ahead.time_msc - behind.time_msc > LATE_MS


def _seconds(ahead: TickId, behind: TickId) -> str:
    if behind == BEFORE_FIRST:
        return "everything"
    return f"{(ahead.time_msc - behind.time_msc) / 1000:,.0f} s"


def _error(what: str, remedy: str) -> Finding:
    return Finding(Severity.ERROR, what, remedy)


def _warning(what: str, remedy: str) -> Finding:
    return Finding(Severity.WARNING, what, remedy)
