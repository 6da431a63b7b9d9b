"""Who took a version of the settings, who refused it, and who has not said anything yet."""

from pathlib import Path

import pytest
from suho.hub.v1 import config_pb2

from cli.config_reports import sorted_out
from pc_agent.config import AgentSettings
from pc_agent.settings.judging import UnfitError, judge

ALL = config_pb2.ConfigTarget(service="pc-agent")
NEW = config_pb2.ConfigVersion(version=7, changed_unix_ms=1_000)


def _report(name: str, version: int, told_unix_ms: int, refusal: str = "") -> config_pb2.ConfigReport:
    target = config_pb2.ConfigTarget(service="pc-agent", instance=name)
    return config_pb2.ConfigReport(target=target, service_version=version, told_unix_ms=told_unix_ms, refusal=refusal)


def test_only_what_was_said_of_this_version_counts() -> None:
    """A report of before says nothing; a refusal of since is one though the old version is run."""
    meant = [_report("a", 7, 1_001), _report("b", 6, 1_001, "no such setting"), _report("c", 6, 999)]
    heard = sorted_out(meant, ALL, NEW)
    assert heard.lines() == [
        "taken by pc-agent/a",
        "REFUSED by pc-agent/b: no such setting",
        "no word of pc-agent/c yet: `suho config status` tells",
    ]


def test_an_unknown_setting_does_not_hide_a_wrong_value(tmp_path: Path) -> None:
    """All that is wrong is said at once."""
    own = AgentSettings(state_dir=tmp_path)
    with pytest.raises(UnfitError) as refused:
        judge(own, {"foo": 1, "max_order_volume": "abc"})
    assert all(word in str(refused.value) for word in ("'foo'", "'max_order_volume'"))
