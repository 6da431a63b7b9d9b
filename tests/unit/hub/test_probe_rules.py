"""What is asked of an instance, what its health then is, and when the asker doubts itself."""

from dataclasses import replace

import pytest

from hub.domain.agenda import Agenda
from hub.domain.health import Health, Probe, ProbeKind, Verdict
from hub.domain.instance import Address, Instance
from hub.domain.probing import ProbeTerms, SelfDoubt, health_after, left_without_farewell, question_for
from hub.domain.state import Expiry, Record
from hub.domain.status import Status

GRPC, WEB = Address("grpc", "127.0.0.1", 1), Address("http", "127.0.0.1", 2)
ECHO = Instance("echo-1", "echo", addresses=(WEB, GRPC), status=Status.UP)
RECORD = Record(ECHO, b"one", "hub-1", Health(Verdict.PASSING))
LOST = Expiry("lost", silent=False, unix_ms=1)


def test_an_instance_is_asked_as_it_says_and_else_by_grpc() -> None:
    """Where there is no gRPC address, and no word of another way, not at all."""
    asked = question_for(ECHO)
    assert asked is not None
    assert (asked.probe.kind, asked.address) == (ProbeKind.GRPC, GRPC)
    for probe, address in ((Probe(ProbeKind.TCP), WEB), (Probe(ProbeKind.TCP, "grpc"), GRPC)):
        asked = question_for(replace(ECHO, probe=probe))
        assert asked is not None
        assert (asked.probe, asked.address) == (probe, address)
    assert question_for(replace(ECHO, probe=Probe(ProbeKind.NONE))) is None
    assert question_for(replace(ECHO, addresses=(WEB,))) is None


@pytest.mark.parametrize(
    ("before", "after", "fell"),
    [
        (RECORD, replace(RECORD, expiry=LOST), True),
        (RECORD, replace(RECORD, token_digest=b"two"), True),
        (RECORD, replace(RECORD, owner="hub-2"), False),
        (replace(RECORD, expiry=LOST), replace(RECORD, token_digest=b"two"), False),
        (replace(RECORD, instance=replace(ECHO, status=Status.DRAINING)), replace(RECORD, expiry=LOST), False),
        (replace(RECORD, health=Health(Verdict.FAILING)), replace(RECORD, expiry=LOST), False),
    ],
)
def test_a_fall_is_a_lease_lost_or_another_process_in_its_place(before: Record, after: Record, fell: bool) -> None:
    """Once for each death; moving to another hub is none, and nor is the end of who was leaving."""
    assert left_without_farewell(before, after) is fell


def test_health_is_news_when_the_verdict_changes() -> None:
    """Its time is that of the change; a new error or another moment is no news."""
    passing = health_after(Health(), Verdict.PASSING, "", 0, 1_000)
    assert passing == Health(Verdict.PASSING, "", 1_000)
    assert health_after(passing, Verdict.PASSING, "once", 0, 2_000) is passing
    failing = health_after(passing, Verdict.FAILING, "why", 30, 3_000)
    assert failing == Health(Verdict.FAILING, "why", 3_000)
    assert health_after(failing, Verdict.FAILING, "why else", 0, 4_000) is failing


def test_who_flaps_is_held_and_held_longer_when_it_falls_again() -> None:
    """The end is told; as it comes nearer nothing is news."""
    held = health_after(Health(Verdict.FAILING, "why", 5), Verdict.PASSING, "why", 30, 1_000)
    assert held == Health(Verdict.FLAPPING, "why", 1_000, 31_000)
    assert health_after(held, Verdict.PASSING, "why", 20, 11_000) is held
    assert health_after(held, Verdict.PASSING, "why", 90, 11_000).held_until_unix_ms == 101_000
    assert health_after(held, Verdict.PASSING, "why", 0, 31_000).verdict is Verdict.PASSING


def test_this_hub_doubts_itself_when_most_fail_together_and_until_most_pass() -> None:
    """Not for a few, nor for those that failed one by one long ago."""
    doubt = SelfDoubt(from_instances=10, share=0.5)
    assert not doubt.holds(False, probed=9, failing=9, lately=9)
    assert not doubt.holds(False, probed=10, failing=5, lately=5)
    assert not doubt.holds(False, probed=10, failing=9, lately=3)
    assert doubt.holds(False, probed=10, failing=6, lately=6)
    assert doubt.holds(True, probed=10, failing=6, lately=0)
    assert not doubt.holds(True, probed=10, failing=5, lately=0)


def test_many_failing_ones_leave_the_others_room() -> None:
    """Silent ones wait out their time: at most half of the room is theirs."""
    terms = ProbeTerms(interval_s=30, timeout_s=3, failing_s=5, concurrency=256)
    assert terms.recheck_s(1) == 5
    assert terms.recheck_s(640) == pytest.approx(15)
    assert terms.recheck_s(10_000) == 30


def test_the_agenda_gives_what_is_due_in_order_and_each_key_once() -> None:
    """A new time replaces the old one; what was replaced or dropped takes no room."""
    agenda = Agenda()
    for number in range(10_000):
        agenda.put("echo-1", number)
        agenda.put("echo-2", number + 0.5)
    assert len(agenda._heap) < 200
    agenda.put("echo-3", 1)
    agenda.drop("echo-3")
    assert agenda.next_at() == 9_999
    assert agenda.take(9_998) is None
    assert agenda.take(10_000) == "echo-1"
    assert agenda.take(10_000) == "echo-2"
    assert agenda.take(99_999) is None
    assert agenda.next_at() is None
