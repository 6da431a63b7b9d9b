"""`suho ticks doctor`: where each stage of a symbol's way stands, and what to do about what is wrong."""

from collections.abc import Awaitable
from dataclasses import asdict, replace
from typing import Any, TypeVar

import grpc
import typer
from suho.database.v1 import tick_service_pb2 as db
from suho.database.v1 import tick_service_pb2_grpc
from suho.market.v1 import bridge_pb2, bridge_pb2_grpc, tick_pb2

from cli.connection import DEFAULT_STATE, TIMEOUT_S, JsonOption, StateOption, mesh, run
from cli.output import EXIT_REFUSED, print_json, print_table, server_time
from cli.symbols import ServerOption, SymbolArgument, choose
from cli.tick_diagnosis import Agent, Facts, Incident, Log, Severity, Sink, Stage, findings, stages
from mesh.clock import unix_ms
from mesh.errors import MeshError, Reason
from mesh.market import TickId

T = TypeVar("T")

_INCIDENTS = 100


def doctor(
    symbol: SymbolArgument,
    server: ServerOption = "",
    state: StateOption = DEFAULT_STATE,
    as_json: JsonOption = False,
) -> None:
    """Where terminal, agent, bridge, log, store and cache stand, and what to do about what is wrong."""

    async def ask() -> tuple[tick_pb2.SymbolRef, Facts]:
        async with mesh(state) as channel:
            return await examine(channel, symbol, server)

    ref, facts = run(ask)
    found = findings(facts)
    if as_json:
        print_json(
            {
                "server": ref.server,
                "symbol": ref.symbol,
                "agent": facts.streams,
                "standing_by": facts.standing_by,
                "stages": [_stage_json(stage) for stage in stages(facts)],
                "sinks": [asdict(sink) for sink in facts.sinks],
                "logs": [asdict(log) for log in facts.logs],
                "read_ago_ms": facts.read_ago_ms,
                "logged_after_ms": facts.logged_after_ms,
                "missing_ticks": facts.missing_ticks,
                "quarantined": facts.quarantined,
                "incidents": [asdict(incident) for incident in facts.incidents],
                "findings": [asdict(finding) for finding in found],
            }
        )
    else:
        _print(ref, facts)
        for finding in found:
            print(f"{finding.severity.upper()}: {finding.what}\n  → {finding.remedy}")
        if not found:
            print(f"all is well with {ref.symbol}")
    if any(finding.severity is Severity.ERROR for finding in found):
        raise typer.Exit(EXIT_REFUSED)


async def examine(channel: grpc.aio.Channel, symbol: str, server: str) -> tuple[tick_pb2.SymbolRef, Facts]:
    """The symbol and what each stage says of it; a stage that is away says so.

    Raises:
        grpc.aio.AioRpcError: neither bridge nor database answers.
    """
    bridge = bridge_pb2_grpc.BridgeServiceStub(channel)
    ticks = tick_service_pb2_grpc.TickServiceStub(channel)
    status, bridge_error = await _tried(bridge.GetBridgeStatus(bridge_pb2.GetBridgeStatusRequest(), timeout=TIMEOUT_S))
    stored, database_error = await _tried(ticks.ListSymbols(db.ListSymbolsRequest(), timeout=TIMEOUT_S))
    if bridge_error and database_error:
        raise bridge_error
    streaming = [item.symbol for item in status.symbols] if status else []
    ref = choose(symbol, server, streaming, [item.symbol for item in stored.symbols] if stored else [])
    facts = Facts(symbol=symbol, bridge_error=_why(bridge_error), database_error=_why(database_error))
    if status is not None:
        facts = await _ask_bridge(bridge, ref, status, facts)
    if stored is not None:
        facts = await _ask_database(ticks, ref, facts)
    return ref, facts


async def _ask_bridge(
    bridge: "bridge_pb2_grpc.BridgeServiceAsyncStub",
    ref: tick_pb2.SymbolRef,
    status: bridge_pb2.GetBridgeStatusResponse,
    facts: Facts,
) -> Facts:
    trace, error = await _tried(bridge.TraceSymbol(bridge_pb2.TraceSymbolRequest(symbol=ref), timeout=TIMEOUT_S))
    if trace is None:
        if error is not None and MeshError.of(error).reason is Reason.NO_SOURCE:
            return facts  # nobody streams it: that is a finding, not a failure
        return replace(facts, bridge_error=_why(error))
    position = trace.position
    return replace(
        facts,
        streams=trace.agent,
        standing_by=tuple(trace.standing_by),
        agent=Agent(
            terminal=_id(position.terminal),
            read=_id(position.read),
            sent=_id(position.sent),
            acknowledged=_id(position.acknowledged),
            terminal_connected=position.terminal_connected,
        )
        if trace.HasField("position")
        else None,
        cursor=_id(trace.cursor),
        log_seq=trace.log_seq,
        log_last=_id(trace.log_last),
        read_ago_ms=unix_ms() - trace.read_unix_ns // 10**6 if trace.log_seq else None,
        logged_after_ms=(trace.logged_unix_ns - trace.read_unix_ns) / 1e6 if trace.log_seq else None,
        missing_ticks=sum(item.missing_ticks for item in status.symbols if item.symbol == ref),
    )


async def _ask_database(
    ticks: "tick_service_pb2_grpc.TickServiceAsyncStub", ref: tick_pb2.SymbolRef, facts: Facts
) -> Facts:
    wanted = db.ListTickIncidentsRequest(server=ref.server, symbol=ref.symbol, limit=_INCIDENTS)
    counts = db.GetTickStatsRequest(server=ref.server, symbol=ref.symbol, counts_only=True)
    try:
        sink = await ticks.GetSinkStatus(db.GetSinkStatusRequest(), timeout=TIMEOUT_S)
        last = await ticks.GetLastTick(db.GetLastTickRequest(symbol=ref), timeout=TIMEOUT_S)
        stats = await ticks.GetTickStats(counts, timeout=TIMEOUT_S)
        incidents = await ticks.ListTickIncidents(wanted, timeout=TIMEOUT_S)
    except grpc.aio.AioRpcError as error:
        return replace(facts, database_error=_why(error))
    newest, _ = await _tried(ticks.GetNewestTick(db.GetNewestTickRequest(symbol=ref), timeout=TIMEOUT_S))
    return replace(
        facts,
        sinks=tuple(Sink(s.log, s.store, s.stored_seq, s.holder, s.stopped_reason) for s in sink.sinks),
        logs=tuple(Log(log.log, log.last_seq, log.bytes, log.max_bytes) for log in sink.logs),
        stored=_id(last.tick.id),
        cached=_id(newest.tick.id) if newest is not None else None,
        quarantined=sum(item.quarantined for item in stats.stats),
        incidents=tuple(Incident(i.kind, i.at_unix_ms, i.ticks, i.detail) for i in incidents.incidents),
    )


async def _tried(call: Awaitable[T]) -> tuple[T | None, grpc.aio.AioRpcError | None]:
    try:
        return await call, None
    except grpc.aio.AioRpcError as error:
        return None, error


def _why(error: grpc.aio.AioRpcError | None) -> str:
    if error is None:
        return ""
    refusal = MeshError.of(error)
    if refusal.reason in (Reason.UNREACHABLE, Reason.DEADLINE_EXCEEDED):
        return "it does not answer"
    return refusal.message


def _id(message: tick_pb2.TickId) -> TickId:
    return TickId(message.time_msc, message.ordinal)


def _stage_json(stage: Stage) -> dict[str, Any]:
    at = {"time_msc": stage.at.time_msc, "ordinal": stage.at.ordinal} if stage.at else None
    return {"stage": stage.name, "at": at, "behind_ms": stage.behind_ms}


def _print(ref: tick_pb2.SymbolRef, facts: Facts) -> None:
    by = f", {', '.join(facts.standing_by)} standing by" if facts.standing_by else ""
    print(f"{ref.symbol} of {ref.server}, streamed by {facts.streams or 'nobody'}{by}\n")
    rows = [
        (
            stage.name,
            f"{server_time(stage.at.time_msc)} #{stage.at.ordinal}" if stage.at else "-",
            "-" if stage.behind_ms is None else f"{stage.behind_ms / 1000:,.3f} s",
        )
        for stage in stages(facts)
    ]
    print_table(("STAGE", "STANDS AT", "BEHIND"), rows, "")
    if facts.read_ago_ms is not None:
        print(
            f"newest message: read {facts.read_ago_ms / 1000:,.1f} s ago, logged {facts.logged_after_ms:,.1f} ms later"
        )
    print()
    last = {log.name: log.last_seq for log in facts.logs}
    table = [
        (s.log, s.store, s.stored_seq, last.get(s.log, "-"), s.holder or "-", s.stopped_reason or "follows")
        for s in facts.sinks
    ]
    print_table(("LOG", "STORE", "STORED", "OF", "HELD BY", "STATE"), table, "no sink is known")
    print()
