"""What to ask of an instance, what its health then is, and when the asker rather doubts itself."""

from dataclasses import dataclass, field

from hub.domain.flapping import Damping
from hub.domain.health import Health, Probe, ProbeKind, Verdict
from hub.domain.instance import GRPC_ADDRESS, Address, Instance
from hub.domain.probation import Thresholds
from hub.domain.state import Record
from hub.domain.status import Status

_LEAVING = (Status.DRAINING, Status.OUT_OF_SERVICE)


@dataclass(frozen=True, slots=True)
class Question:
    """A probe, and the address that it is asked at."""

    probe: Probe
    address: Address


def question_for(instance: Instance) -> Question | None:
    """How its instance says it can be asked; else gRPC's health service where there is a gRPC address; else not."""
    probe = instance.probe
    if probe is None:
        address = instance.address(GRPC_ADDRESS)
        return Question(Probe(ProbeKind.GRPC), address) if address else None
    if probe.kind is ProbeKind.NONE or not instance.addresses:
        return None
    address = instance.address(probe.address_name) if probe.address_name else instance.addresses[0]
    return Question(probe, address) if address else None


def counts(instance: Instance, passed: bool) -> bool:
    """Whether an outcome speaks for or against it: who does not say that it is UP may fail."""
    return passed or instance.status is Status.UP


def left_without_farewell(before: Record, after: Record) -> bool:
    """Whether its lease was lost, or another process came in its place. Who was leaving did not fall."""
    if before.expiry is not None or before.instance.status in _LEAVING or before.health.verdict is Verdict.FAILING:
        return False
    return after.expiry is not None or after.token_digest != before.token_digest


def health_after(before: Health, verdict: Verdict, error: str, held_for_s: float, unix_ms: int) -> Health:
    """What is to be written, `before` itself where nothing is.

    Args:
        verdict: By its probes alone.
        error: Of the newest failed probe.
        held_for_s: For how long it counts as flapping, if it stays well.
    """
    if verdict is not Verdict.FAILING and held_for_s > 0:
        verdict = Verdict.FLAPPING
    held_until = unix_ms + round(held_for_s * 1000) if verdict is Verdict.FLAPPING else 0
    told = verdict is not Verdict.UNKNOWN or bool(error) == bool(before.last_error)
    if verdict is before.verdict and told and abs(held_until - before.held_until_unix_ms) < 1000:
        return before
    return Health(verdict, error, unix_ms if verdict is not before.verdict else before.since_unix_ms, held_until)


@dataclass(frozen=True, slots=True)
class SelfDoubt:
    """Where more than this share of at least so many fails at once, it is rather the asker's own trouble."""

    from_instances: int = 10
    share: float = 0.5

    def holds(self, doubted: bool, probed: int, failing: int, lately: int) -> bool:
        """Whether this hub doubts its own probes.

        Args:
            doubted: Whether it did until now: it begins with many who fall together, and lasts while so many fail.
            lately: Of the failing ones, those that passed a moment ago.
        """
        many = failing if doubted else lately
        return probed >= self.from_instances and many > self.share * probed


@dataclass(frozen=True, slots=True)
class ProbeTerms:
    """How probes are asked; times are seconds.

    Args:
        interval_s: Between two probes of an instance that stands as it stood.
        retry_s: Between two while that is in question.
        failing_s: Between two while it fails; longer where many fail.
        first_s: Within it a new instance is asked first.
        span_s: How long probes gather before the history hears of them.
        concurrency: How many are asked at once.
    """

    interval_s: float = 30.0
    timeout_s: float = 3.0
    retry_s: float = 2.0
    failing_s: float = 5.0
    first_s: float = 0.5
    span_s: float = 600.0
    concurrency: int = 256
    thresholds: Thresholds = field(default_factory=Thresholds)
    damping: Damping = field(default_factory=Damping)
    doubt: SelfDoubt = field(default_factory=SelfDoubt)

    def recheck_s(self, failing: int) -> float:
        """When one of so many failing ones is asked again: silent, all together wait in half of the room at most."""
        return min(max(self.failing_s, 2 * failing * self.timeout_s / self.concurrency), self.interval_s)
