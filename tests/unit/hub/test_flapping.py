"""Who comes and goes too often."""

import pytest

from hub.domain.flapping import Damping, Flapping

DAMPING = Damping(half_life_s=100.0, suppress_above=2.0, reuse_below=1.0, ceiling=4.0)


def fallen(*times: float) -> Flapping:
    flapping = Flapping(DAMPING)
    for at in times:
        flapping.fall("echo-1", at)
    return flapping


def test_two_falls_are_forgiven_and_a_third_soon_after_is_not() -> None:
    """Only of the instance that fell."""
    assert fallen(0, 10).held_for("echo-1", 10) == 0
    flapping = fallen(0, 10, 20)
    assert flapping.held_for("echo-1", 20) > 0
    assert flapping.held_for("echo-2", 20) == 0


def test_falls_far_apart_are_not_flapping() -> None:
    """The penalty halves with every half-life."""
    assert fallen(*range(0, 2_000, 100)).held_for("echo-1", 2_000) == 0


def test_it_is_trusted_again_when_its_penalty_is_halved_below_the_reuse_limit() -> None:
    """The time left is told, and it is kept; once trusted, one more fall is forgiven again."""
    flapping = fallen(0, 0, 0)
    left = flapping.held_for("echo-1", 0)
    assert left == pytest.approx(158.5, abs=0.1)  # 100 * log2(3)
    assert flapping.held_for("echo-1", left - 1) == pytest.approx(1)
    assert flapping.held_for("echo-1", left + 1) == 0
    assert flapping.held_for("echo-1", left - 1) == 0
    flapping.fall("echo-1", left + 2)
    assert flapping.held_for("echo-1", left + 2) == 0


def test_a_fall_while_it_is_held_holds_it_longer() -> None:
    """It must stay well."""
    flapping = fallen(0, 0, 0)
    before = flapping.held_for("echo-1", 100)
    flapping.fall("echo-1", 100)
    assert flapping.held_for("echo-1", 100) > before


def test_nobody_is_held_longer_than_the_ceiling_says() -> None:
    """However often it fell."""
    assert fallen(*[0.0] * 1_000).held_for("echo-1", 0) == pytest.approx(200)  # two half-lives from 4 to 1


def test_what_is_paid_is_forgotten_and_there_is_a_bound() -> None:
    """Ten thousand instances that fell once leave nothing behind."""
    flapping = Flapping(DAMPING, most=500)
    for number in range(10_000):
        flapping.fall(f"echo-{number}", number / 1_000)
    assert len(flapping) == 500
    flapping.forget_paid(50)
    assert len(flapping) == 500
    flapping.forget_paid(200)
    assert len(flapping) == 0
