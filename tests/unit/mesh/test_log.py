"""Logs keep secrets."""

import json
import logging
from collections import Counter
from pathlib import Path

import pytest

from mesh.log import configure_logging, get_logger, recent_troubles


def test_a_secret_is_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    """A key that sounds like a secret is shown as stars, in JSON with the program's name."""
    configure_logging("hub", "hub-1", "info", "json")
    get_logger("t").info("connected", postgres_dsn="postgres://u:canary@h", password="canary", host="h")
    line = json.loads(capsys.readouterr().err)
    assert "canary" not in json.dumps(line)
    assert (line["event"], line["host"], line["program"]) == ("connected", "h", "hub")


def test_the_newest_troubles_are_kept_for_the_status(tmp_path: Path) -> None:
    """Warnings and errors in a line each, newest first, without secrets; not more than fifty."""
    configure_logging("agent", "agent-1", "info", "json", tmp_path / "logs" / "agent.log")
    log = get_logger("t")
    log.info("all is well")
    for number in range(60):
        log.warning("order lost", ticket=number, token="canary")
    logging.getLogger("other").error("no %s\nfor this", "room")
    try:
        raise ValueError("why")
    except ValueError:
        log.exception("it broke")
    told = recent_troubles()
    assert len(told) == 50
    assert [one.message for one in told[:3]] == ["it broke", "no room for this", "order lost: ticket 59, token ***"]
    assert told[0].at_unix_ms >= told[-1].at_unix_ms > 1_700_000_000_000


def test_a_trouble_that_repeats_itself_leaves_the_rarer_ones_in_sight(tmp_path: Path) -> None:
    """One line with the last time and the count, without what differed; another reason or symbol is another trouble."""
    configure_logging("agent", "agent-1", "info", "json", tmp_path / "agent.log")
    log = get_logger("t")
    log.error("an order may have been executed", signal_id="s1", symbol="EURUSD")
    log.warning("lane lost", lane=1, because="no engine", retry_s=0.1)
    (first,) = recent_troubles()[:1]
    assert (first.message, first.times) == ("lane lost: lane 1, because no engine, retry_s 0.1", 1)
    for number in range(200):
        log.warning("lane lost", lane=number % 5, because="no hub", retry_s=number / 7)
        log.warning("out of sync", lane=number % 5, symbol="EURUSD", cursor=number)
    log.error("an order may have been executed", signal_id="s2", symbol="EURUSD")
    for at_s in (1_800_000_000, 1_800_000_007):
        facts = {"name": "other", "levelno": logging.WARNING, "levelname": "WARNING", "msg": "no room", "created": at_s}
        logging.getLogger().handle(logging.makeLogRecord(facts))
    newest, *others = recent_troubles()
    assert newest == (1_800_000_007_000, "no room", 2)
    assert [(one.message, one.times) for one in others] == [
        ("an order may have been executed: signal_id s2, symbol EURUSD", 1),
        ("out of sync: symbol EURUSD", 200),
        ("lane lost: because no hub", 200),
        (first.message, 1),
        ("an order may have been executed: signal_id s1, symbol EURUSD", 1),
    ]


def test_a_trouble_that_repeats_itself_leaves_room_in_the_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten lines of it a minute; the status counts all, what is no trouble is always written."""
    file = tmp_path / "agent.log"
    configure_logging("agent", "agent-1", "info", "json", file)
    log = get_logger("t")
    for minute in (1, 2):
        monkeypatch.setattr("logging.time.time", lambda at=minute * 60.0: at)
        for retry_s in range(12):
            log.warning("lane lost", lane=1, because="no hub", retry_s=retry_s)
            log.info("a tick")
        log.warning("lane lost", lane=1, because="no engine")
    events = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    assert Counter(event.get("because", event["event"]) for event in events) == {
        "no hub": 20,
        "no engine": 2,
        "a tick": 24,
    }
    assert [trouble.times for trouble in recent_troubles()[:2]] == [2, 24]


def test_another_exception_is_another_trouble(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the same handler too: the loud one hides no rarer one. Its text, which may hold anything, is not told."""
    monkeypatch.setattr("logging.time.time", lambda: 60.0)
    file = tmp_path / "agent.log"
    configure_logging("agent", "agent-1", "info", "json", file)
    for fault in [KeyError("loud")] * 12 + [ValueError("rare")]:
        try:
            raise fault
        except (KeyError, ValueError):
            get_logger("t").exception("a handler failed", method="/M")
    assert [json.loads(line)["exception"].split("\n")[-1] for line in file.read_text("utf-8").splitlines()] == [
        *["KeyError: 'loud'"] * 10,
        "ValueError: rare",
    ]
    assert [trouble.times for trouble in recent_troubles()] == [1, 12]
    assert "fault KeyError at test_log.py:" in recent_troubles()[1].message


def test_logs_of_a_program_without_a_console_are_files_of_bounded_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """UTF-8, the older ones beside it, whole lines; nothing is needed of a standard error that is not there."""
    monkeypatch.setattr("sys.stderr", None)
    monkeypatch.setattr("mesh.log._FILE_BYTES", 2_000)
    file = tmp_path / "agent.log"
    configure_logging("agent", "agent-1", "info", "auto", file)
    for number in range(200):
        get_logger("t").info("Größe ✓", number=number)
    files = sorted(tmp_path.iterdir())
    assert [one.name for one in files] == ["agent.log", *(f"agent.log.{number}" for number in range(1, 6))]
    assert all(one.stat().st_size <= 2_000 for one in files)
    lines = [json.loads(line) for one in files for line in one.read_text("utf-8").splitlines()]
    assert {line["event"] for line in lines} == {"Größe ✓"}
    assert max(line["number"] for line in lines) == 199
