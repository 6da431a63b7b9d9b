"""Who comes and goes too often to be trusted: route flap damping as RFC 2439 has it.

Each fall adds to an instance's penalty, which halves with every half-life. Above one limit the instance is flapping,
until its penalty has decayed below another. Times are seconds of a monotonic clock that the caller gives.
"""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Damping:
    """A fall weighs 1. With these figures the third fall within about a minute and a half is one too many."""

    half_life_s: float = 120.0
    suppress_above: float = 2.0
    reuse_below: float = 1.0
    ceiling: float = 8.0
    """No penalty grows beyond it: nobody is held longer than log2(ceiling / reuse_below) half-lives."""


@dataclass(slots=True)
class _Penalty:
    amount: float
    at: float
    suppressed: bool = False


class Flapping:
    """The penalties of all who fell of late.

    Args:
        most: How many are remembered; beyond it, the ones that fell longest ago are forgotten.
    """

    def __init__(self, damping: Damping, most: int = 65_536) -> None:
        self._damping = damping
        self._most = most
        self._penalties: dict[str, _Penalty] = {}  # in the order of their newest fall

    def __len__(self) -> int:
        return len(self._penalties)

    def fall(self, instance_id: str, now: float) -> None:
        """It failed, or was lost, without a farewell."""
        held = self.held_for(instance_id, now) > 0
        known = self._penalties.pop(instance_id, None) or _Penalty(0.0, now)
        amount = min(self._decayed(known, now) + 1.0, self._damping.ceiling)
        suppressed = held or amount > self._damping.suppress_above
        self._penalties[instance_id] = _Penalty(amount, now, suppressed)
        if len(self._penalties) > self._most:
            del self._penalties[next(iter(self._penalties))]

    def held_for(self, instance_id: str, now: float) -> float:
        """For how many seconds more it counts as flapping, if it stays well; 0: it does not."""
        penalty = self._penalties.get(instance_id)
        if penalty is None or not penalty.suppressed:
            return 0.0
        left = self._damping.half_life_s * math.log2(penalty.amount / self._damping.reuse_below)
        left -= now - penalty.at
        if left <= 0:
            penalty.suppressed = False
        return max(left, 0.0)

    def forget_paid(self, now: float) -> None:
        """Call it now and then: a penalty below half of `reuse_below` says nothing any more (RFC 2439, 4.2)."""
        least = self._damping.reuse_below / 2
        self._penalties = {key: item for key, item in self._penalties.items() if self._decayed(item, now) >= least}

    def _decayed(self, penalty: _Penalty, now: float) -> float:
        half_lives = (now - penalty.at) / self._damping.half_life_s
        return penalty.amount * math.pow(0.5, half_lives)
