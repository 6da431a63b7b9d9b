"""Self-preservation: many falling silent at once is rather the hub's own trouble than their death.

Only silence is doubted. A broken stream after its grace is a fact, and so is a farewell.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class SelfPreservation:
    """When silence is doubted, and how slowly it is then believed."""

    from_instances: int = 10
    from_expiries: int = 3
    max_share: float = 0.15


@dataclass(frozen=True, slots=True)
class Silence:
    """How silent the mesh is: unexpired instances, all of them and those that are this hub's to judge; silent ones with
    other hubs, by their word; those that any hub expired in silence within the last lease time.

    The last are counted with the silent of now, else the first 15 % of a wave would lift the protection from the rest.
    """

    population: int
    judged_here: int
    silent_elsewhere: int = 0
    wave: int = 0

    def is_doubted(self, silent: int, doubt: SelfPreservation) -> bool:
        """Whether so many silent ones, with this hub, are to be believed slowly."""
        return (
            self.population + self.wave >= doubt.from_instances
            and silent + self.silent_elsewhere + self.wave >= doubt.from_expiries
        )


def believed(silent: Sequence[T], silence: Silence, doubt: SelfPreservation) -> Sequence[T]:
    """Of the silent, longest first, those that expire in this sweep.

    Hubs sweep at the same time: each takes its share of what this hub judges, so that all together keep to the mesh's.
    """
    if not silence.is_doubted(len(silent), doubt):
        return silent
    return silent[: max(1, int((silence.judged_here + silence.wave) * doubt.max_share))]


@dataclass(frozen=True, slots=True)
class Protection:
    """Whether self-preservation is at work, since when; how many wait to expire; how many did of late, in silence."""

    protecting: bool = False
    since_unix_ms: int = 0
    waiting: int = 0
    expired: int = 0
