"""How far the mesh may change this PC's settings.

What guards the money may be made stricter from afar, never laxer. What names a terminal, an account, a path or a hub
is this PC's alone, as is every setting that has no rule here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from pc_agent.domain.live_settings import DeadMan


class Reach(StrEnum):
    """When a value that the mesh keeps counts here."""

    LIVE = "live"
    RESTART = "at the next start"
    LOCAL = "this PC's alone"


class Guard(StrEnum):
    """Which of two values is the stricter one."""

    NONE = ""
    LESS = "less"
    # 0 stands for no limit.
    LESS_BUT_ZERO = "less, 0 is no limit"
    MORE = "more"
    DEAD_MAN = "what does more"


@dataclass(frozen=True, slots=True)
class Rule:
    """Of one setting."""

    reach: Reach
    guard: Guard = Guard.NONE


_LOCAL = Rule(Reach.LOCAL)
_LIMIT = Rule(Reach.LIVE, Guard.LESS_BUT_ZERO)
# Yes is stricter than no.
_FORBIDS = Rule(Reach.LIVE, Guard.MORE)

RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "symbols": Rule(Reach.LIVE),
        "execution_timeout_ms": Rule(Reach.LIVE),
        "deviation_points": Rule(Reach.LIVE, Guard.LESS),
        "max_spread_points": _LIMIT,
        "max_spread_ratio": _LIMIT,
        "max_quote_age_ms": _LIMIT,
        "closed_block_entries": _FORBIDS,
        "gap_block_entries": _FORBIDS,
        "news_block_entries": _FORBIDS,
        "news_before_minutes": Rule(Reach.LIVE, Guard.MORE),
        "news_after_minutes": Rule(Reach.LIVE, Guard.MORE),
        "max_order_volume": _LIMIT,
        "max_symbol_volume": _LIMIT,
        "max_open_positions": _LIMIT,
        "max_orders_per_minute": _LIMIT,
        "max_daily_loss": _LIMIT,
        "dead_man": Rule(Reach.LIVE, Guard.DEAD_MAN),
        "dead_man_after_s": Rule(Reach.LIVE, Guard.LESS),
        "reconcile_interval_s": Rule(Reach.LIVE, Guard.LESS),
        "health_interval_s": Rule(Reach.LIVE),
        "log_level": Rule(Reach.LIVE),
        "history_start": Rule(Reach.RESTART),
        "symbols_look_s": Rule(Reach.RESTART),
        "lane_lost_s": Rule(Reach.RESTART),
        "lane_back_s": Rule(Reach.RESTART),
        "idle_ms": Rule(Reach.RESTART),
        "worker_hang_s": Rule(Reach.RESTART),
        "reconcile_after_s": Rule(Reach.RESTART, Guard.MORE),
    }
)

# Where a person at the PC said it for this one process.
_SAID_HERE = ("command line", "environment")


@dataclass(frozen=True, slots=True)
class Weighed:
    """A value of the mesh beside this PC's own: the one that counts and, where it is the PC's, why."""

    value: Any
    because: str = ""


def rule_of(name: str) -> Rule:
    """A setting's rule."""
    return RULES.get(name, _LOCAL)


def weigh(name: str, own: Any, origin: str, kept: Any) -> Weighed:
    """The PC's own value, given by `origin`, against the one that the mesh keeps."""
    if own == kept:
        return Weighed(kept)
    if origin in _SAID_HERE:
        return Weighed(own, f"the {origin} of this PC says {_text(own)}")
    if _is_stricter(rule_of(name).guard, own, kept):
        return Weighed(own, f"this PC's own {_text(own)} is stricter")
    return Weighed(kept)


def _is_stricter(guard: Guard, one: Any, other: Any) -> bool:
    match guard:
        case Guard.LESS:
            return bool(one < other)
        case Guard.LESS_BUT_ZERO:
            return bool(one != 0 and (other == 0 or one < other))
        case Guard.MORE:
            return bool(one > other)
        case Guard.DEAD_MAN:
            does = list(DeadMan)
            return does.index(one) > does.index(other)
        case Guard.NONE:
            return False


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) or "nothing" if isinstance(value, tuple) else str(value)
