"""Entries of the registry's store, for tests."""

from dataclasses import replace

from hub.domain.configuration import ConfigTarget, Configuration, Version
from hub.domain.drain import Drain, Target, TargetKind
from hub.domain.health import Health, Probe, ProbeKind, Verdict
from hub.domain.instance import Address, Instance, Method
from hub.domain.policy import Canary, OutlierDetection, Policy, Retry
from hub.domain.state import Entry, Expiry, Record
from hub.domain.status import Status

LONG_ZONE = "Zürich, 1. Etage * > $ ~ " * 40


def record(
    instance_id: str = "echo-1", status: Status = Status.UP, *, owner: str = "hub-1", zone: str = "", **more: object
) -> Record:
    """A record of the service that its id begins with."""
    service = instance_id.rpartition("-")[0] or "echo"
    said = Instance(instance_id, service, addresses=(Address("grpc", "127.0.0.1", 1),), zone=zone, status=status)
    return Record(said, b"digest", owner, **more)  # type: ignore[arg-type]


def drain(kind: TargetKind, name: str, status: Status = Status.DRAINING) -> Drain:
    """An order."""
    return Drain(Target(kind, name), status, "a new disk", "ann", 1)


def full_record() -> Record:
    """With every field set to something else than its default."""
    made = record("svc.with_odd-id.", Status.DRAINING, owner="hub-2", zone="a b")
    said = replace(
        made.instance,
        version="1.2",
        addresses=(Address("grpc", "box", 7, "box.example.org", 8, "10.0.0.1", "1.2.3.4"), Address("web", "::1", 9)),
        weight=7,
        metadata={"b": "2", "a": "1"},
        grpc_services=("a.B",),
        dependencies=("database",),
        status_reason="stopping",
        registered_unix_ms=123,
        process_id=9,
        methods=(Method("a.B/C", idempotent=True), Method("a.B/D", idempotent=False)),
        probe=Probe(ProbeKind.HTTP, "web", "/ping"),
    )
    return replace(
        made,
        instance=said,
        token_digest=b"\x00\xff",
        health=Health(Verdict.FLAPPING, "no route", 5, 6),
        expiry=Expiry("silent", silent=True, unix_ms=4),
    )


OUTLIERS = OutlierDetection(1, 2, 3, 4, 5, 6)
CANARY = Canary("x-canary", "yes", "2.0")
EVERY_KIND: tuple[Entry, ...] = (
    record(),
    full_record(),
    drain("instance", "svc.with_odd-id."),
    drain("service", "echo", Status.OUT_OF_SERVICE),
    Drain(Target("zone", LONG_ZONE), Status.DRAINING, "", "", 0),
    Policy("echo"),
    Configuration(ConfigTarget("echo"), (Version(1, {}, "made", "ann", 1),)),
    Configuration(
        ConfigTarget("echo", "echo-1.b_c"),
        (
            Version(7, {"limit": 3, "share": 0.5, "names": ["a", "b"]}, "first", "ann", 2),
            Version(8, {"on": True, "deep": {"a": [{"b": "c"}]}}, "then", "bob", 3, rolled_back_to=2),
        ),
    ),
    Policy("full", 100, Retry(5, 10, 1_000, ("internal",)), 7, OUTLIERS, CANARY, "slow", "ann", 8),
)
