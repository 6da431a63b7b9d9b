"""Who is there, and who is gone, by this hub's clock alone."""

from hub.domain.peers import Beat, PeerTable, PresenceTerms

TERMS = PresenceTerms(detached_s=5, gone_s=10, forget_s=100)


def table(now: float = 0.0) -> PeerTable:
    return PeerTable("hub-1", "process-1", TERMS, now)


def test_without_an_answer_of_the_store_a_hub_is_detached() -> None:
    """Five seconds; attached again, it is another attachment."""
    made = table()
    assert made.is_attached(5)
    assert not made.is_attached(5.1)
    assert made.stands_for(7) == 2
    made.answered(8)
    assert (made.is_attached(8), made.attached_since) == (True, 8)
    made.answered(9)
    assert made.attached_since == 8


def test_a_hub_that_is_not_heard_is_gone_for_an_attached_one_only() -> None:
    """What a detached hub could not hear says nothing: it begins to listen anew."""
    made = table()
    made.hear(Beat("hub-2", "other", 0), 1)
    made.answered(10)
    assert made.gone_since("hub-2", 10) is None
    assert made.gone_since("hub-2", 11) is None  # but for being detached until 10 it would be
    for now in range(11, 21):
        made.answered(now)
    assert made.gone_since("hub-2", 19.9) is None
    assert made.gone_since("hub-2", 21) == 20
    assert made.gone_since("hub-3", 21) == 20  # owns records, and was never heard
    assert made.gone_since("hub-1", 21) is None
    assert made.gone_since("hub-2", 30) is None  # detached again
    made.answered(22)
    made.hear(Beat("hub-2", "other", 0), 22)
    assert made.gone_since("hub-2", 22) is None


def test_a_hub_that_takes_its_leave_is_gone_at_once() -> None:
    """And is no longer spoken of; when it is back, it is there."""
    made = table()
    made.hear(Beat("hub-2", "other", 0, silent=3), 1)
    assert (made.heard(2), made.silent_elsewhere(2)) == ({"hub-2": 1}, 3)
    made.hear(Beat("hub-2", "other", 0, silent=3, leaving=True), 3)
    assert (made.gone_since("hub-2", 3), made.heard(3), made.silent_elsewhere(3)) == (3, {}, 0)
    made.hear(Beat("hub-2", "another", 0), 4)
    assert made.gone_since("hub-2", 4) is None


def test_of_two_processes_under_one_id_the_younger_goes() -> None:
    """Uptimes are compared, not clocks; a tie is broken the same way by both."""
    made = table(now=100)
    assert made.hear(made.beat(110), 111)
    assert made.hear(Beat("hub-1", "younger", 5_000), 110)
    assert not made.hear(Beat("hub-1", "older", 50_000), 110)
    assert made.hear(Beat("hub-1", "older", 50_000, leaving=True), 110)
    assert made.hear(Beat("hub-1", "a", 10_000), 110) is not made.hear(Beat("hub-1", "z", 10_000), 110)


def test_a_hub_long_gone_is_forgotten() -> None:
    """What came and went must not pile up."""
    made = table()
    for number in range(50):
        made.hear(Beat(f"hub-{number + 2}", "other", 0), number * 10)
    assert len(made._peers) <= 12
