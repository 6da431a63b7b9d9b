"""The doctor's rules: each case of trouble is named, with what to do."""

from dataclasses import replace
from typing import Any

import pytest

from cli.tick_diagnosis import Agent, Facts, Incident, Log, Severity, Sink, findings, stages
from mesh.market import BEFORE_FIRST, TickId

NOW = TickId(1_000_000, 0)
OLD = TickId(900_000, 0)
AGENT = Agent(terminal=NOW, read=NOW, sent=NOW, acknowledged=NOW)
TICKS, BACKFILL = Sink("TICKS", "clickhouse", 70, "database-1"), Sink("BACKFILL", "clickhouse", 5, "database-1")
LOG = Log("TICKS", 70, 10, 100)
WELL = Facts(
    symbol="X",
    streams="agent-1",
    agent=AGENT,
    cursor=NOW,
    log_seq=70,
    log_last=NOW,
    sinks=(TICKS, BACKFILL),
    logs=(LOG, Log("BACKFILL", 5, 0, 100)),
    stored=NOW,
    cached=NOW,
)


def test_all_is_well() -> None:
    """Nothing is found where nothing is wrong, also of a symbol that has no tick yet."""
    assert findings(WELL) == []
    none = Agent(BEFORE_FIRST, BEFORE_FIRST, BEFORE_FIRST, BEFORE_FIRST)
    assert findings(Facts(symbol="X", streams="agent-1", agent=none)) == []


@pytest.mark.parametrize(
    ("changed", "severity", "what", "remedy"),
    [
        ({"bridge_error": "gone"}, "error", "data-bridge can not tell: gone", "suho logs data-bridge"),
        ({"database_error": "gone"}, "error", "database can not tell: gone", "suho logs database"),
        ({"streams": "", "agent": None}, "error", "no agent streams X", "start the agent"),
        ({"streams": "", "agent": None, "standing_by": ("b",)}, "warning", "b stands by", "within seconds"),
        ({"agent": None, "read_ago_ms": 900}, "warning", "agent-1 did not say", "suho logs pc-agent"),
        ({"agent": None, "read_ago_ms": 9000}, "error", "agent-1 did not say", "start it anew"),
        ({"agent": replace(AGENT, terminal_connected=False)}, "error", "no connection to its broker", "terminal on"),
        ({"agent": replace(AGENT, read=OLD)}, "warning", "100 s less than its terminal shows", "catching up"),
        ({"agent": replace(AGENT, acknowledged=OLD)}, "error", "100 s of ticks are sent and not", "log takes nothing"),
        ({"agent": replace(AGENT, acknowledged=BEFORE_FIRST)}, "error", "everything of ticks", "log takes nothing"),
        ({"log_last": OLD, "stored": OLD, "cached": OLD}, "error", "log ends before", "restart the data-bridge"),
        ({"missing_ticks": 3}, "error", "3 ticks that the agent read never", "suho ticks audit X --heal"),
        ({"logs": (replace(LOG, bytes=81),)}, "warning", "TICKS is 81 % full", "more room"),
        ({"sinks": (replace(TICKS, stopped_reason="odd"),)}, "error", "TICKS into clickhouse has stopped: odd", "logs"),
        ({"sinks": (replace(TICKS, holder="", stored_seq=69),)}, "warning", "1 messages behind, and no", "instance"),
        (
            {"sinks": (replace(TICKS, stored_seq=0),), "logs": (replace(LOG, last_seq=10_001),)},
            "warning", "10001 messages behind", "catching up",
        ),
        ({"stored": OLD, "cached": OLD}, "warning", "store is 100 s behind the log", "suho logs database"),
        ({"cached": None}, "warning", "cache does not answer", "suho logs database"),
        ({"cached": OLD}, "warning", "cache is behind the store", "next tick"),
        ({"quarantined": 4}, "warning", "4 ticks were refused", "suho ticks quality"),
        ({"incidents": (Incident("HOLE", 5, 2, "2 of 9"),)}, "warning", "HOLE: ticks are missing (2 of 9)", "heal"),
        ({"incidents": (Incident("HISTORY_CHANGED", 5),)}, "warning", "HISTORY_CHANGED", "suho ticks audit X --heal"),
        ({"incidents": (Incident("AUDIT_DIFFERS", 5),)}, "warning", "not healed", "suho ticks audit X --heal"),
        ({"incidents": (Incident("LOG_GAP", 5),)}, "warning", "lost before they were stored", "--heal"),
        ({"incidents": (Incident("ZONE_MISMATCH", 5),)}, "warning", "zone rule", "database's settings"),
        ({"incidents": (Incident("STALE_SYMBOL", 5),)}, "warning", "no tick came", "fresh prices"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_found_with_its_remedy(changed: Any, severity: str, what: str, remedy: str) -> None:
    """One fact away from well is one finding."""
    (found,) = findings(replace(WELL, **changed))
    assert found.severity == Severity(severity)
    assert what in found.what
    assert remedy in found.remedy


@pytest.mark.parametrize(
    "changed",
    [
        {"incidents": (Incident("AUDIT_HEALED", 6), Incident("HOLE", 5))},
        {"incidents": (Incident("SPIKE", 5), Incident("CROSSED_QUOTES", 5))},
        {"agent": replace(AGENT, read=TickId(996_000, 0))},
        {"sinks": (replace(TICKS, stored_seq=60),)},
        {"cached": TickId(1_000_500, 0)},
    ],
)
def test_what_is_usual_is_no_finding(changed: Any) -> None:
    """A hole that was healed since, odd ticks, a few seconds, a few messages, a cache that is ahead."""
    assert findings(replace(WELL, **changed)) == []


def test_stages_are_behind_the_one_before() -> None:
    """In server time; where a stage or the one before it is not known, nothing is said."""
    facts = replace(WELL, log_last=TickId(999_000, 3), stored=TickId(998_500, 0), cached=None)
    told = {stage.name: stage.behind_ms for stage in stages(facts)}
    assert told == {
        "terminal": None, "agent read": 0, "agent sent": 0, "bridge": 0, "log": 1000, "store": 500, "cache": None,
    }  # fmt: skip
    assert [stage.at for stage in stages(Facts(symbol="X", bridge_error="gone"))] == [None] * 7
