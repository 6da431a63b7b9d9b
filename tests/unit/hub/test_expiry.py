"""Which leases run out, and when silence is doubted."""

from dataclasses import replace

from hub.domain.expiry import SelfPreservation, forgotten, sweep
from hub.domain.instance import Instance
from hub.domain.lease import Lease, LeaseTerms, broken, take
from hub.domain.status import Status

TERMS = LeaseTerms(heartbeat_s=5, ttl_s=15, grace_s=3)
DOUBT = SelfPreservation(from_instances=10, from_expiries=3, max_share=0.15)


def lease(name: str, heard_at: float = 0.0, service: str = "echo", status: Status = Status.UP) -> Lease:
    return take(None, Instance(name, service, status=status), "token", 1, heard_at)


def after(leases: dict[str, Lease], now: float) -> list[str]:
    """Sweep, keep the outcome in `leases`, give the ids that ran out."""
    gone = sweep(list(leases.values()), now, TERMS, DOUBT)
    leases.update({item.instance.id: item for item in gone})
    return [item.instance.id for item in gone]


def mesh(silent: int, heard: int, *, service: str = "echo") -> dict[str, Lease]:
    leases = [lease(f"silent-{n}", n / 1000, service) for n in range(silent)]
    leases += [lease(f"heard-{n}", 100.0, "other") for n in range(heard)]
    return {item.instance.id: item for item in leases}


def test_silence_is_believed_after_the_lease_and_a_break_after_the_grace() -> None:
    """Not a moment earlier; the reason is said in words."""
    leases = {"silent": lease("silent"), "broken": broken(lease("broken", 9.0), 10.0)}
    assert after(leases, 12.9) == []
    assert after(leases, 13.0) == ["broken"]
    assert after(leases, 14.9) == []
    assert after(leases, 15.0) == ["silent"]
    assert leases["silent"].instance.status is Status.EXPIRED
    assert "silent for 15 s" in leases["silent"].instance.status_reason
    assert "did not come back within 3 s" in leases["broken"].instance.status_reason
    assert after(leases, 99.0) == []


def test_below_ten_instances_or_three_expiries_silence_is_not_doubted() -> None:
    """A small mesh loses what is gone at once."""
    assert len(after(mesh(silent=9, heard=0), 100.0)) == 9
    assert len(after(mesh(silent=2, heard=98), 100.0)) == 2


def test_many_falling_silent_at_once_are_believed_slowly() -> None:
    """At most 15 % in a sweep, the longest silent first; the protection does not lift half-way."""
    leases = mesh(silent=20, heard=20)
    waves = [len(after(leases, 100.0 + second)) for second in range(5)]
    assert waves == [6, 6, 6, 2, 0]
    leases = mesh(silent=5, heard=5)
    assert [after(leases, 100.0 + second) for second in range(6)] == [
        ["silent-0"],
        ["silent-1"],
        ["silent-2"],
        ["silent-3"],
        ["silent-4"],
        [],
    ]


def test_under_doubt_the_last_endpoint_of_a_service_is_kept() -> None:
    """The registry says EXPIRED, discovery still hands it out."""
    leases = mesh(silent=3, heard=10)
    for second in range(4):
        after(leases, 100.0 + second)
    silent = [leases[f"silent-{n}"].instance for n in range(3)]
    assert {item.status for item in silent} == {Status.EXPIRED}
    assert [item.kept_endpoint for item in silent] == [False, False, True]


def test_what_was_no_endpoint_is_not_kept_as_one() -> None:
    """A draining instance is nobody's last resort."""
    leases = mesh(silent=3, heard=10)
    last = leases["silent-2"]
    leases["silent-2"] = replace(last, instance=replace(last.instance, status=Status.DRAINING))
    for second in range(4):
        after(leases, 100.0 + second)
    assert [leases[f"silent-{n}"].instance.kept_endpoint for n in range(3)] == [False, True, False]


def test_broken_streams_are_facts_and_never_doubted() -> None:
    """However many, and a kept endpoint whose stream breaks is gone too."""
    leases = {name: broken(item, 100.0) for name, item in mesh(silent=20, heard=0).items()}
    assert len(after(leases, 103.0)) == 20
    assert not any(item.instance.kept_endpoint for item in leases.values())
    kept = mesh(silent=3, heard=10)
    for second in range(4):
        after(kept, 100.0 + second)
    kept["silent-2"] = broken(kept["silent-2"], 104.0)
    assert after(kept, 107.0) == ["silent-2"]
    assert not kept["silent-2"].instance.kept_endpoint


def test_an_expired_instance_is_forgotten_once_nobody_can_revive_it() -> None:
    """While its stream stands, the process may speak again."""
    leases = {"a": lease("a")}
    after(leases, 15.0)
    assert forgotten(leases.values(), 1000.0, remember_s=300) == []
    leases["a"] = broken(leases["a"], 20.0)
    assert forgotten(leases.values(), 314.0, remember_s=300) == []
    assert forgotten(leases.values(), 315.0, remember_s=300) == [leases["a"]]
