"""The agent's status as tables for people, and what of it is wrong."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from suho.agent.v1 import agent_pb2 as pb
from suho.trading.v1 import order_pb2

from cli.output import server_time, since, utc

_MOST_ERRORS = 10
_ALLOWED = (order_pb2.TRADING_STATE_UNSPECIFIED, order_pb2.TRADING_STATE_ACTIVE)


@dataclass(frozen=True)
class Section:
    """A table; `empty` is said where it has no row."""

    columns: Sequence[str]
    rows: Sequence[Sequence[object]]
    empty: str


def troubles(status: pb.AgentStatus) -> list[str]:
    """What is wrong now, the worst first; none: all is well."""
    found = [status.missing] if status.missing else []
    for terminal in status.terminals:
        found += [f"terminal {terminal.name}: {finding}" for finding in terminal.findings]
        if terminal.safety.halted:
            found.append(f"terminal {terminal.name} takes no entries: {terminal.safety.message}")
    for lane in status.lanes:
        if not lane.stands:
            found.append(f"lane {lane.number} is away since {since(lane.since_unix_ms)}")
    if status.ledger.reports_refused:
        found.append(f"the engine refused {status.ledger.reports_refused} reports: see the agent's log")
    for deal in status.ledger.deals_refused:
        found.append(f"the engine refused deal {deal.deal} and does not count it: {deal.message}")
    if unknown := status.ledger.orders.get("UNKNOWN", 0):
        found.append(f"of {unknown} orders it is not known what became of them: `suho agent positions`, then `resolve`")
    if status.config.refusal:
        found.append(f"settings that the mesh keeps are refused: {status.config.refusal}")
    return list(dict.fromkeys(found))


def heading(status: pb.AgentStatus) -> str:
    return f"{status.agent}, suho {status.version}, since {since(status.started_unix_ms)}"


def sections(status: pb.AgentStatus) -> list[Section]:
    """All of it, in the order in which a person looks."""
    return [
        *_waiting(status.confirmations),
        Section(("LANE", "STANDS", "WITH", "CARRIES", "UNACKNOWLEDGED", "SINCE", "RECONNECTS"),
                [_lane(lane) for lane in status.lanes], "no lane yet"),
        Section(("TERMINAL", "ACCOUNT", "ROLE", "TRADING", "PC ALLOWS", "QUEUE", "PING", "LOST", "WORKER", "RESTARTS"),
                [_terminal(terminal) for terminal in status.terminals], "no terminal"),
        Section(("SYMBOL", "LANE", "NEWEST TICK", "UNACKNOWLEDGED", "FROM", "MARKET"),
                [_symbol(symbol) for symbol in status.symbols], "no symbol is carried yet"),
        Section(("LEDGER", "COUNT"), list(_ledger(status.ledger)), ""),
        Section(("SETTINGS OF THE MESH", "IN FORCE"), list(_settings(status.config)), ""),
        Section(("LAST ERRORS", "TIMES", "WHAT"),
                [(utc(one.at_unix_ms), one.times, one.message) for one in status.errors[:_MOST_ERRORS]],
                "no error since its start"),
    ]  # fmt: skip


def _waiting(questions: Sequence[pb.Confirmation]) -> Iterable[Section]:
    """Nothing where nothing waits: this is what a person has to see at once."""
    if questions:
        rows = [(one.signal_id, f"{one.account.login}@{one.account.server}", one.sentence, since(one.until_unix_ms))
                for one in questions]  # fmt: skip
        yield Section(("`suho agent confirm`", "ACCOUNT", "WHAT WOULD BE SENT", "UNTIL"), rows, "")


def _lane(lane: pb.LaneStatus) -> Sequence[object]:
    carries = "signals" if lane.number == 0 else f"{lane.symbols} symbol{'' if lane.symbols == 1 else 's'}"
    return (lane.number, "yes" if lane.stands else "NO", lane.peer or "-", carries, lane.unacknowledged,
            since(lane.since_unix_ms), lane.reconnects)  # fmt: skip


def _terminal(one: pb.TerminalStatus) -> Sequence[object]:
    account = f"{one.account.login}@{one.account.server}" if one.account.server else "-"
    role = pb.AgentRole.Name(one.role).removeprefix("AGENT_ROLE_").lower()
    trading = order_pb2.TradingState.Name(one.trading_state).removeprefix("TRADING_STATE_")
    allows = one.safety.reason or "halted" if one.safety.halted else "everything"
    return (one.name, account, role if one.connected else f"{role}, AWAY",
            "-" if one.trading_state == order_pb2.TRADING_STATE_UNSPECIFIED else trading, allows, one.queued_orders,
            f"{one.ping_ms:.0f} ms" if one.ping_ms else "-", f"{one.retransmission_percent:.1f} %",
            one.worker_pid or "-", one.worker_restarts)  # fmt: skip


def _symbol(one: pb.SymbolStatus) -> Sequence[object]:
    newest = server_time(one.newest_unix_ms) if one.newest_unix_ms else "-"
    return (one.symbol, one.lane or "-", newest, one.unacknowledged, one.source or "-",
            _market(one.market) if one.HasField("market") else "-")  # fmt: skip


def _market(market: order_pb2.MarketConditions) -> str:
    words = [
        "open" if market.session_open else "closed",
        f"spread {market.spread_points:g} ({market.mean_spread_points:.1f})",
        f"{market.ticks_per_second:.1f} ticks/s",
        "GAP" if market.gap else "",
        f"news: {market.news}" if market.news else "",
    ]
    return ", ".join(filter(None, words))


def _ledger(ledger: pb.LedgerStatus) -> Iterable[Sequence[object]]:
    for state, count in sorted(ledger.orders.items()):
        yield f"orders {state}", count
    yield "reports that wait", ledger.reports_waiting
    yield "reports refused", ledger.reports_refused
    yield "deals that wait", ledger.deals_waiting
    yield "deals refused", len(ledger.deals_refused)


def _settings(config: pb.AppliedConfig) -> Iterable[Sequence[object]]:
    yield "of all agents", f"version {config.service_version}" if config.service_version else "none"
    yield "of this one", f"version {config.instance_version}" if config.instance_version else "none"
    if config.refusal:
        yield "refused", config.refusal
    yield from sorted(config.notes.items())
