"""Where an instance stands, from what it says, its lease, its probes, and people's orders."""

from collections.abc import Callable
from dataclasses import replace

from hub.domain.drain import Drain, Target
from hub.domain.health import Verdict
from hub.domain.instance import Instance
from hub.domain.state import Record
from hub.domain.status import Status

FindDrain = Callable[[Target], tuple[int, Drain] | None]

_UNWELL = {
    Verdict.FAILING: "its probes fail",
    Verdict.FLAPPING: "it comes and goes too often to be trusted yet",
}


def standing(record: Record, revision: int, find_drain: FindDrain) -> Instance:
    """The instance as watchers and discovery see it.

    Args:
        revision: Of the record's last write; the instance's is that of the newest write that counts for it.
    """
    said = record.instance
    held = drain_of(said, find_drain)
    drained_at, drain = held if held is not None else (0, None)
    status, reason, doubted = _what_counts(record, drain)
    return replace(
        said,
        status=status,
        status_reason=reason,
        revision=max(revision, drained_at),
        reported_status=said.status,
        reported_reason=said.status_reason,
        health=record.health,
        drain=drain,
        hub=record.owner,
        doubted=doubted,
    )


def drain_of(instance: Instance, find_drain: FindDrain) -> tuple[int, Drain] | None:
    """The order that counts for an instance, with its revision: the stricter one, of equal ones the more specific."""
    targets = (
        Target("instance", instance.id),
        Target("service", instance.service),
        *((Target("zone", instance.zone),) if instance.zone else ()),
    )
    found = [held for target in targets if (held := find_drain(target)) is not None]
    strict = [held for held in found if held[1].status is Status.OUT_OF_SERVICE]
    return next(iter(strict or found), None)


def is_about(target: Target, instance: Instance) -> bool:
    """Whether an order about `target` holds for an instance."""
    match target.kind:
        case "instance":
            return instance.id == target.name
        case "service":
            return instance.service == target.name
        case "zone":
            return instance.zone == target.name


def _what_counts(record: Record, drain: Drain | None) -> tuple[Status, str, bool]:
    said, health = record.instance, record.health
    if (expiry := record.expiry) is not None:
        # Only what would otherwise be called is worth a doubt.
        return Status.EXPIRED, expiry.reason, expiry.silent and drain is None and said.status is Status.UP
    if drain is not None:
        return drain.status, _order(drain), False
    if said.status is Status.UP and health.verdict in _UNWELL:
        return Status.DOWN, ": ".join(filter(None, (_UNWELL[health.verdict], health.last_error))), True
    return said.status, said.status_reason, False


def _order(drain: Drain) -> str:
    done = "drained" if drain.status is Status.DRAINING else "taken out of service"
    what = "" if drain.target.kind == "instance" else f"{drain.target.kind} {drain.target.name} "
    return f"{what}{done}" + (f" by {drain.by}" if drain.by else "") + (f": {drain.reason}" if drain.reason else "")
