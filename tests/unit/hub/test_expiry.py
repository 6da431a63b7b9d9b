"""When silence is doubted, and how slowly it is then believed."""

from hub.domain.expiry import SelfPreservation, Silence, believed

DOUBT = SelfPreservation(from_instances=10, from_expiries=3, max_share=0.15)


def waves(silent: int, population: int, sweeps: int) -> list[int]:
    """How many expire sweep by sweep, with one hub."""
    wave, seen = 0, []
    for _ in range(sweeps):
        gone = len(believed(range(silent), Silence(population, population, wave=wave), DOUBT))
        silent, population, wave = silent - gone, population - gone, wave + gone
        seen.append(gone)
    return seen


def test_below_ten_instances_or_three_silent_ones_silence_is_not_doubted() -> None:
    """A small mesh loses what is gone at once."""
    assert waves(9, 9, 1) == [9]
    assert waves(2, 100, 1) == [2]
    assert waves(3, 10, 3) == [1, 1, 1]


def test_many_falling_silent_at_once_are_believed_slowly() -> None:
    """At most 15 % in a sweep, the longest silent first; the protection does not lift half-way."""
    assert waves(20, 40, 5) == [6, 6, 6, 2, 0]
    assert list(believed(["oldest", "older", "old"], Silence(10, 10), DOUBT)) == ["oldest"]


def test_what_other_hubs_see_counts_too() -> None:
    """Silent ones and instances of the whole mesh decide; each hub takes its share of those that it judges."""
    assert len(believed(range(2), Silence(20, 10), DOUBT)) == 2
    assert len(believed(range(2), Silence(20, 10, silent_elsewhere=1), DOUBT)) == 1
    assert len(believed(range(20), Silence(100, 40, wave=0), DOUBT)) == 6
