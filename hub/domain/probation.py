"""What probes in a row amount to: one outcome is an accident, several are a verdict."""

from dataclasses import dataclass, replace

from hub.domain.health import Verdict


@dataclass(frozen=True, slots=True)
class Thresholds:
    """How many outcomes in a row turn a verdict."""

    failures: int = 3
    successes: int = 2


@dataclass(frozen=True, slots=True)
class Probation:
    """The verdict by probes alone: UNKNOWN, PASSING or FAILING, and how many outcomes in a row speak against it."""

    verdict: Verdict = Verdict.UNKNOWN
    against: int = 0

    @property
    def undecided(self) -> bool:
        """Between verdicts: the next outcomes are wanted soon."""
        return self.verdict is Verdict.UNKNOWN or self.against > 0


def begun_with(verdict: Verdict) -> Probation:
    """What another hub left behind; who was flapping was passing."""
    return Probation(Verdict.PASSING if verdict is Verdict.FLAPPING else verdict)


def weighed(probation: Probation, passed: bool, thresholds: Thresholds) -> Probation:
    """With one more outcome. The first success of an unknown instance counts at once: its callers are waiting."""
    says = Verdict.PASSING if passed else Verdict.FAILING
    if says is probation.verdict:
        return replace(probation, against=0)
    if passed and probation.verdict is Verdict.UNKNOWN:
        return Probation(says)
    against = probation.against + 1
    needed = thresholds.successes if passed else thresholds.failures
    return Probation(says) if against >= needed else replace(probation, against=against)
