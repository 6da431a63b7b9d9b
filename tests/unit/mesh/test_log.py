"""Logs keep secrets."""

import json
import logging

import pytest

from mesh.log import configure_logging, get_logger


@pytest.fixture
def restored_root() -> "object":
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.usefixtures("restored_root")
def test_a_secret_is_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    """A key that sounds like a secret is shown as stars, in JSON with the program's name."""
    configure_logging("hub", "hub-1", "info", "json")
    get_logger("t").info("connected", postgres_dsn="postgres://u:canary@h", password="canary", host="h")
    line = json.loads(capsys.readouterr().err)
    assert "canary" not in json.dumps(line)
    assert (line["event"], line["host"], line["program"]) == ("connected", "h", "hub")
