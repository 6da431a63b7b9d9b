"""How far the mesh may change a PC's settings."""

from dataclasses import fields
from decimal import Decimal
from typing import Any

import pytest

from pc_agent.config import AgentSettings
from pc_agent.domain.live_settings import DeadMan, LiveSettings
from pc_agent.domain.setting_rules import RULES, Reach, rule_of, weigh


@pytest.mark.parametrize(
    ("name", "own", "kept", "counts"),
    [
        ("max_order_volume", Decimal(1), Decimal("0.5"), Decimal("0.5")),
        ("max_order_volume", Decimal(1), Decimal(2), Decimal(1)),
        ("max_order_volume", Decimal(1), Decimal(0), Decimal(1)),
        ("max_order_volume", Decimal(0), Decimal(2), Decimal(2)),
        ("max_daily_loss", Decimal(0), Decimal(0), Decimal(0)),
        ("deviation_points", 20, 0, 0),
        ("deviation_points", 0, 20, 0),
        ("reconcile_after_s", 60.0, 30.0, 60.0),
        ("reconcile_after_s", 60.0, 90.0, 90.0),
        ("dead_man", DeadMan.STOP_ENTRIES, DeadMan.HOLD, DeadMan.STOP_ENTRIES),
        ("dead_man", DeadMan.STOP_ENTRIES, DeadMan.FLATTEN, DeadMan.FLATTEN),
        ("health_interval_s", 30.0, 60.0, 60.0),
        ("symbols", (), ("EURUSD",), ("EURUSD",)),
    ],
)
def test_what_guards_the_money_is_made_stricter_only(name: str, own: Any, kept: Any, counts: Any) -> None:
    """0 is no limit where it would forbid everything; the PC's own value says why it counts."""
    weighed = weigh(name, own, "file agent.toml", kept)
    assert weighed.value == counts
    assert bool(weighed.because) == (counts != kept)


@pytest.mark.parametrize("origin", ["command line", "environment"])
def test_what_a_person_said_for_this_process_counts_above_the_mesh(origin: str) -> None:
    """Also where the mesh's value would be stricter: who sits there can get out of a wrong one."""
    weighed = weigh("max_open_positions", 5, origin, 1)
    assert weighed.value == 5
    assert origin in weighed.because


def test_every_live_setting_has_a_rule_and_every_rule_a_setting() -> None:
    """A setting without a rule is this PC's alone."""
    assert {field.name for field in fields(LiveSettings)} <= RULES.keys() <= AgentSettings.model_fields.keys()
    live = {name for name, rule in RULES.items() if rule.reach is Reach.LIVE}
    assert live <= {field.name for field in fields(LiveSettings)}
    local = AgentSettings.model_fields.keys() - RULES.keys()
    assert {"terminals", "state_dir", "hubs", "instance"} <= local
    assert all(rule_of(name).reach is Reach.LOCAL for name in local)
