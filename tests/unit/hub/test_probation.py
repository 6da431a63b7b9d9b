"""What probes in a row amount to."""

from hub.domain.health import Verdict
from hub.domain.probation import Probation, Thresholds, begun_with, weighed

TERMS = Thresholds(failures=3, successes=2)


def verdicts(outcomes: str, start: Probation | None = None) -> list[str]:
    """The verdict after each outcome: '+' passed, '-' failed."""
    probation = start or Probation()
    found = []
    for outcome in outcomes:
        probation = weighed(probation, outcome == "+", TERMS)
        found.append(probation.verdict.value)
    return found


def test_the_first_success_of_an_unknown_instance_counts_at_once() -> None:
    """A new instance is not kept waiting."""
    assert verdicts("+") == ["PASSING"]
    assert verdicts("-+") == ["UNKNOWN", "PASSING"]


def test_three_failures_in_a_row_are_a_verdict_and_fewer_are_not() -> None:
    """A success between them starts the count anew."""
    assert verdicts("---") == ["UNKNOWN", "UNKNOWN", "FAILING"]
    assert verdicts("+--+--+---") == ["PASSING"] * 9 + ["FAILING"]


def test_two_successes_in_a_row_end_a_failure() -> None:
    """One alone does not."""
    assert verdicts("+-++", Probation(Verdict.FAILING)) == ["FAILING", "FAILING", "FAILING", "PASSING"]


def test_between_verdicts_outcomes_are_wanted_soon() -> None:
    """From the first outcome against a verdict until it is decided."""
    passing = weighed(Probation(), True, TERMS)
    assert Probation().undecided
    assert not passing.undecided
    assert weighed(passing, False, TERMS).undecided
    assert not begun_with(Verdict.FAILING).undecided


def test_a_flapping_one_was_passing() -> None:
    """Another hub goes on from there."""
    assert begun_with(Verdict.FLAPPING) == Probation(Verdict.PASSING)
