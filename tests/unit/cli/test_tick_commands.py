"""`suho ticks` beside files: what is asked, how it is told, how it ends."""

import json
from typing import Any

import pytest
from suho.database.v1 import tick_service_pb2 as db
from suho.market.v1 import bar_pb2, bridge_pb2, tick_pb2
from typer.testing import CliRunner

from cli.__main__ import app
from cli.output import EXIT_REFUSED
from cli.symbols import near_names
from tests.unit.cli.conftest import Suho
from tests.unit.cli.fake_platform import DAY, DAY_MS, FakePlatform, columns_of

REF = tick_pb2.SymbolRef(server="S", symbol="EURUSD")


@pytest.fixture
def filled(platform: FakePlatform) -> FakePlatform:
    platform.store.put("S", "EURUSD", columns_of(DAY + 5, DAY + 5, DAY + 9))
    platform.store.put("S", "GBPUSD", columns_of(DAY + DAY_MS))
    return platform


def lines(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines()]


def audited(state: "bridge_pb2.AuditState.ValueType", **more: Any) -> bridge_pb2.AuditTicksResponse:
    return bridge_pb2.AuditTicksResponse(symbol=REF, from_msc=DAY, to_msc=DAY + DAY_MS, state=state, **more)


@pytest.mark.parametrize(
    ("state", "status"),
    [("MATCHES", 0), ("HEALED", 0), ("CORRECTED", 0), ("DIFFERS", EXIT_REFUSED), ("UNANSWERED", EXIT_REFUSED)],
)
def test_an_audit_ends_with_whether_differences_are_left(
    filled: FakePlatform, suho: Suho, state: str, status: int
) -> None:
    """A row a day, then the sum; status 1 where something is left."""
    filled.bridge.audited = [
        audited(bridge_pb2.AUDIT_STATE_MATCHES, terminal_ticks=3, stored_ticks=3),
        audited(bridge_pb2.AuditState.Value(f"AUDIT_STATE_{state}"), terminal_ticks=9, healed_ticks=2, detail="so"),
    ]
    result = suho("audit", "EURUSD")
    assert result.exit_code == status
    assert "2014-05-05 EURUSD@S MATCHES terminal 3 log 0 stored 3\n" in result.stdout
    assert f"{state} terminal 9 log 0 stored 0, 2 healed: so" in result.stdout
    assert ("--heal` adds" in result.stdout) == bool(status)
    first, second, total = lines(suho("audit", "EURUSD", "--json").stdout)
    assert (first["state"], second["healed_ticks"]) == ("AUDIT_STATE_MATCHES", 2)
    assert (total["days"], total["left"]) == (2, status)


def test_an_audit_asks_for_all_days_that_have_ticks(filled: FakePlatform, suho: Suho) -> None:
    """Each symbol's own, one's, or those that are given."""
    for words in ((), ("EURUSD", "--heal"), ("--from", "2014-05-01", "--to", "2014-05-02T12:00")):
        assert suho("audit", *words).exit_code == 0
    first, second, one, given = filled.bridge.asked
    assert (list(first.symbols), first.from_msc, first.to_msc, first.heal) == ([REF], DAY, DAY + DAY_MS, False)
    assert (second.symbols[0].symbol, second.from_msc) == ("GBPUSD", DAY + DAY_MS)
    assert (list(one.symbols), one.from_msc, one.to_msc, one.heal) == ([REF], DAY, DAY + DAY_MS, True)
    assert (given.from_msc, given.to_msc) == (DAY - 4 * DAY_MS, DAY - 2 * DAY_MS - DAY_MS // 2)
    assert suho("audit", "--from", "2014-05-02", "--to", "2014-05-01").exit_code == 2
    assert suho("audit", "--server", "T").exit_code == EXIT_REFUSED


def test_days_without_ticks_are_counted_only(filled: FakePlatform, suho: Suho) -> None:
    """As long as nothing is wrong with them."""
    filled.bridge.audited = [audited(bridge_pb2.AUDIT_STATE_MATCHES), audited(bridge_pb2.AUDIT_STATE_UNANSWERED)]
    out = suho("audit", "EURUSD").stdout
    assert "EURUSD@S MATCHES" not in out
    assert "EURUSD@S UNANSWERED" in out
    assert "2 days: 1 MATCHES, 1 UNANSWERED" in out


def test_quality_tells_marks_and_incidents(filled: FakePlatform, suho: Suho) -> None:
    """Both as tables, and as one object."""
    filled.database.quality.symbols.add(symbol=REF, ticks=9, crossed=2, incidents={"HOLE": 1})
    filled.database.incidents.incidents.add(kind="HOLE", symbol=REF, ticks=4, detail="four", at_unix_ms=DAY)
    out = suho("quality", "EURUSD").stdout
    assert "CROSSED" in out
    assert "2014-05-05T00:00:00.000Z  HOLE      S       EURUSD  4      four" in out
    facts = json.loads(suho("quality", "--json").stdout)
    assert (facts["symbols"][0]["crossed"], facts["incidents"][0]["kind"]) == (2, "HOLE")


def test_recent_ticks_are_told_oldest_first(filled: FakePlatform, suho: Suho) -> None:
    """As a table, with the symbol's decimals and the server's time, and as the contract's Tick in JSON."""
    ticks = json.loads(suho("recent", "EURUSD", "-n", 2, "--json").stdout)["ticks"]
    assert [tick["id"] for tick in ticks] == [{"time_msc": DAY + 5, "ordinal": 1}, {"time_msc": DAY + 9, "ordinal": 0}]
    filled.store.put("S", "EURUSD", columns_of(DAY + 11, bid=1.5))
    assert "2014-05-05T00:00:00.011  0  1.50000  1.50010  0.00000  0" in suho("recent", "EURUSD").stdout


def test_a_tail_can_begin_in_the_past(filled: FakePlatform, suho: Suho) -> None:
    """What is stored since then, on each server that has it; it ends after so many."""
    result = suho("tail", "EURUSD", "--from", "2014-05-05T00:00:00.005", "-n", 2)
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[1].startswith("EURUSD 2014-05-05T00:00:00.005 #1 bid 1.10001")
    (request,) = filled.bridge.asked
    assert (list(request.symbols), request.from_msc) == ([REF], DAY + 5)
    assert len(lines(suho("tail", "EURUSD", "--from", "0", "-n", 3, "--json").stdout)) == 3


@pytest.mark.parametrize("command", ["tail", "recent", "stats", "bars", "audit", "quality", "doctor"])
def test_an_unknown_symbol_is_answered_with_near_ones(filled: FakePlatform, suho: Suho, command: str) -> None:
    """Letters of another case are the nearest."""
    result = suho(command, "eurusd")
    assert (result.exit_code, "did you mean EURUSD?" in result.stderr) == (EXIT_REFUSED, True), result.stderr


def test_near_names_are_the_nearest_first() -> None:
    """Only the same in another case, where there is one; none where none is near."""
    names = ["EURUSD", "EURUSD.m", "XAUUSD", "US500"]
    assert near_names("eurusd", names) == ["EURUSD"]
    assert near_names("EURUSD.", names)[0] in ("EURUSD", "EURUSD.m")
    assert near_names("us50", names) == ["US500"]
    assert near_names("WHEAT", names) == []


def test_a_symbol_of_several_servers_is_asked_for_its_server(filled: FakePlatform, suho: Suho) -> None:
    """Both are named; with --server it is one."""
    filled.store.put("T", "EURUSD", columns_of(DAY))
    result = suho("recent", "EURUSD")
    assert (result.exit_code, "say which with --server; there are S, T" in result.stderr) == (EXIT_REFUSED, True)
    assert suho("recent", "EURUSD", "--server", "T").exit_code == 0
    assert "server 'U' has no EURUSD; S, T has it" in suho("recent", "EURUSD", "--server", "U").stderr


@pytest.mark.parametrize("command", ["bars", "audit", "quality", "export"])
@pytest.mark.parametrize(
    ("from_", "to", "said"),
    [
        ("2014-05-02", "2014-05-01", "not before --to"),
        ("9" * 20, "2014-05-01", "is not between 1970"),
        ("1969-12-31", "2014-05-01", "is not between 1970"),
    ],
)
def test_a_range_is_within_time_and_in_order(
    filled: FakePlatform, suho: Suho, command: str, from_: str, to: str, said: str
) -> None:
    """Else it is wrong usage, whatever is asked for."""
    more = ("--out", filled.state) if command == "export" else ()
    result = suho(command, "EURUSD", "--from", from_, "--to", to, *more)
    assert (result.exit_code, said in result.stderr) == (2, True), result.output


def bar_columns(*opens: int, last_closed: bool = False) -> bar_pb2.BarColumns:
    count = len(opens)
    prices = {name: [1.5] * count for name in ("open", "high", "low", "close")}
    return bar_pb2.BarColumns(count=count, open_msc=opens, close_msc=opens, ticks=[2] * count, last_closed=last_closed,
                              **prices)  # fmt: skip


@pytest.mark.parametrize(
    ("words", "spec"),
    [
        ((), bar_pb2.BarSpec(timeframe=bar_pb2.TIMEFRAME_M1)),
        (("--timeframe", "mn1"), bar_pb2.BarSpec(timeframe=bar_pb2.TIMEFRAME_MN1)),
        (("--ticks", "100"), bar_pb2.BarSpec(ticks=100)),
        (("--volume", "2.5"), bar_pb2.BarSpec(volume=2.5)),
        (("--range", "0.001"), bar_pb2.BarSpec(range=0.001)),
    ],
)
def test_bars_of_every_kind_are_asked_for(filled: FakePlatform, suho: Suho, words: Any, spec: bar_pb2.BarSpec) -> None:
    """The last so many, absent columns as zeros, the last one as it is forming."""
    filled.database.bars.bars.CopyFrom(bar_columns(DAY, DAY + 60_000))
    bars = json.loads(suho("bars", "EURUSD", "-n", 2, "--json", *words).stdout)["bars"]
    assert [(bar["open_msc"], bar["high"], bar["volume"], bar["closed"]) for bar in bars] == [
        (DAY, 1.5, 0, True),
        (DAY + 60_000, 1.5, 0, False),
    ]
    (request,) = filled.database.asked
    assert (request.symbol, request.spec, request.limit) == (REF, spec, -2)
    filled.database.bars.bars.low[1] = 1.25
    assert "00:01:00.000  1.50  1.50  1.25  1.50   2      0       0.00" in suho("bars", "EURUSD", *words).stdout


def test_bars_are_of_one_kind(filled: FakePlatform, suho: Suho) -> None:
    """Two kinds, or a timeframe that there is not, are wrong usage."""
    for words, said in ((("--ticks", 5, "--range", 1), "two kinds"), (("--timeframe", "M7"), "none of M1")):
        result = suho("bars", "EURUSD", *words)
        assert (result.exit_code, said in result.stderr) == (2, True), result.stderr


def test_bars_are_followed_from_the_one_that_forms(filled: FakePlatform, suho: Suho) -> None:
    """Stored ones first, each bar once."""
    filled.database.bars.bars.CopyFrom(bar_columns(DAY, DAY + 60_000))
    closed = bar_pb2.Bar(open_msc=DAY + 60_000, open=1.5, ticks=3, closed=True)
    filled.bridge.bars = [bridge_pb2.StreamBarsResponse(bars=[closed])]
    told = lines(suho("bars", "EURUSD", "--follow", "--json").stdout)
    assert [(bar["open_msc"], bar["closed"]) for bar in told] == [(DAY, True), (DAY + 60_000, True)]
    (request,) = filled.bridge.asked
    assert (request.from_msc, request.closed_only) == (DAY + 60_000, True)


def test_the_doctor_tells_stages_and_findings(filled: FakePlatform, suho: Suho) -> None:
    """Where all is well status 0; an error is status 1, with its remedy."""
    last = tick_pb2.TickId(time_msc=DAY + 9)
    position = bridge_pb2.AgentPosition(
        terminal=last, read=last, sent=last, acknowledged=last, terminal_connected=True, lane=1
    )
    filled.bridge.trace = bridge_pb2.TraceSymbolResponse(
        agent="agent-1", bridge="bridge-1", position=position, cursor=last, log_seq=1, log_last=last
    )
    filled.database.sink.CopyFrom(
        db.GetSinkStatusResponse(
            sinks=[db.SinkStatus(log="TICKS", store="clickhouse", stored_seq=1, holder="database-1")],
            logs=[db.LogStatus(log="TICKS", last_seq=1, max_bytes=100)],
        )
    )
    result = suho("doctor", "EURUSD")
    assert (result.exit_code, "all is well with EURUSD" in result.stdout) == (0, True), result.output
    facts = json.loads(suho("doctor", "EURUSD", "--json").stdout)
    assert [stage["behind_ms"] for stage in facts["stages"]] == [None, 0, 0, 0, 0, 0, 0]
    assert facts["sinks"][0]["holder"] == "database-1"

    filled.bridge.trace.position.terminal_connected = False
    result = suho("doctor", "EURUSD")
    assert (result.exit_code, "ERROR: the terminal has no connection" in result.stdout) == (EXIT_REFUSED, True)
    filled.bridge.trace = None
    assert "ERROR: the data-bridge can not tell" in suho("doctor", "EURUSD").stdout


def test_the_version_is_told() -> None:
    """As the package bears it."""
    result = CliRunner().invoke(app, ["--version"])
    assert (result.exit_code, result.stdout.startswith("suho ")) == (0, True)
