"""Which reports are on their way to the engine."""

from dataclasses import dataclass

from pc_agent.domain.report_window import MOST, ReportWindow

S = 10**9


@dataclass(frozen=True)
class Made:
    report_id: str
    place: int


def made(first: int, last: int) -> list[Made]:
    return [Made(f"r{place}", place) for place in range(first, last + 1)]


def names(sent: list[tuple[Made, int]]) -> list[str]:
    return [report.report_id for report, _ in sent]


def caught_up() -> ReportWindow[Made]:
    """One that has sent everything there was: nothing."""
    window: ReportWindow[Made] = ReportWindow()
    assert window.wants() == MOST
    assert window.fill([], MOST, 0, 0) == []
    return window


def test_what_is_made_is_sent_at_once() -> None:
    """When nothing is before it."""
    window = caught_up()
    assert window.take(made(1, 2), 0, 77) == [(Made("r1", 1), 77), (Made("r2", 2), 77)]
    assert window.wants() == 0


def test_what_the_ledger_has_comes_first() -> None:
    """A report that is made while the ledger is asked is neither sent twice nor forgotten."""
    window: ReportWindow[Made] = ReportWindow()
    asked = window.wants()
    assert window.take(made(3, 3), 0, 0) == []
    assert names(window.fill(made(1, 2), asked, 0, 0)) == ["r1", "r2"]
    asked = window.wants()
    assert (asked, window.place) == (MOST - 2, 2)
    assert names(window.fill(made(3, 3), asked, 0, 0)) == ["r3"]
    assert window.wants() == 0
    assert window.fill(made(3, 3), 1, 0, 0) == [], "what was sent is not sent again"


def test_what_the_ledger_told_first_is_not_sent_twice() -> None:
    """A report may wait a moment before it is sent, and be read from the ledger meanwhile."""
    window: ReportWindow[Made] = ReportWindow()
    asked = window.wants()
    assert names(window.fill(made(1, 2), asked, 0, 0)) == ["r1", "r2"]
    assert names(window.take(made(2, 3), 0, 0)) == ["r3"]


def test_so_many_at_most_are_on_their_way() -> None:
    """The others wait in the ledger until there is room for a good number of them."""
    window = caught_up()
    assert len(window.take(made(1, MOST), 0, 0)) == MOST
    assert window.take(made(MOST + 1, MOST + 1), 0, 0) == []
    assert window.wants() == 0
    for place in range(1, MOST // 2 + 1):
        window.done(f"r{place}")
    asked = window.wants()
    assert asked == MOST // 2
    assert names(window.fill(made(MOST + 1, MOST + 1), asked, 0, 0)) == [f"r{MOST + 1}"]


def test_what_is_not_answered_is_said_again_ever_more_rarely() -> None:
    """With the time at which it was reported first; what is answered is not."""
    window = caught_up()
    window.take(made(1, 2), 0, 7)
    window.done("r2")
    assert window.due_again(4 * S) == []
    assert window.next_ns() == 5 * S
    assert window.due_again(5 * S) == [(Made("r1", 1), 7)]
    assert window.due_again(14 * S) == []
    assert names(window.due_again(15 * S)) == ["r1"]


def test_a_new_stream_begins_with_the_oldest() -> None:
    """Reported first is when it was reported first, on whichever lane."""
    window = caught_up()
    window.take(made(5, 5), 0, 7)
    window.begin()
    assert window.place == 0
    assert window.fill(made(5, 5), window.wants(), 1, 99) == [(Made("r5", 5), 7)]
