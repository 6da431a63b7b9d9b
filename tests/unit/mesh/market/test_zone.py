"""Server times to UTC, around the hours that clocks repeat and skip."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.market.marks import MISSING_HOUR, REPEATED_HOUR
from mesh.market.zone import BadRuleError, Zone

HOUR = 3_600_000
DAY = 24 * HOUR


def msc(text: str) -> int:
    """Of a clock's face, as if it showed UTC: that is how server times are given."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def utc(rule: str, *shown: str) -> list[str]:
    times, _ = Zone(rule).to_utc(np.array([msc(text) for text in shown]))
    return [datetime.fromtimestamp(time / 1000, UTC).strftime("%m-%d %H:%M") for time in times.tolist()]


def marks(rule: str, *shown: str) -> list[int]:
    _, found = Zone(rule).to_utc(np.array([msc(text) for text in shown]))
    return [0] * len(shown) if found is None else found.tolist()


def test_utc_is_the_time_itself() -> None:
    """The default rule changes nothing."""
    assert utc("UTC", "2026-07-01 12:00") == ["07-01 12:00"]
    assert utc("UTC+3", "2026-07-01 12:00") == ["07-01 09:00"]
    assert utc("UTC-5:30", "2026-07-01 12:00") == ["07-01 17:30"]


@pytest.mark.parametrize("rule", ["UTC", "America/New_York+7"])
def test_any_number_is_a_time(rule: str) -> None:
    """Before 1971 and behind 2099 the nearest offset stands, to the ends of 64 bits."""
    ends = np.array([-(2**63) + DAY, -HOUR, 0, 2**53, 2**63 - 1])
    for shown in (ends, *ends[:, None]):
        times, found = Zone(rule).to_utc(shown)
        assert found is None or not found.any()
        assert set((shown - times).tolist()) == {0 if rule == "UTC" else 2 * HOUR}


def test_the_repeated_hour_is_taken_as_the_first_and_marked() -> None:
    """Athens, 25 October 2026: 03:00 to 04:00 is shown twice."""
    shown = ("2026-10-25 02:59", "2026-10-25 03:00", "2026-10-25 03:59", "2026-10-25 04:00")
    assert utc("Europe/Athens", *shown) == ["10-24 23:59", "10-25 00:00", "10-25 00:59", "10-25 02:00"]
    assert marks("Europe/Athens", *shown) == [0, REPEATED_HOUR, REPEATED_HOUR, 0]


def test_the_missing_hour_is_marked() -> None:
    """Athens, 29 March 2026: 03:00 to 04:00 is skipped; a tick there goes on as before the change."""
    shown = ("2026-03-29 02:59", "2026-03-29 03:00", "2026-03-29 03:59", "2026-03-29 04:00")
    assert utc("Europe/Athens", *shown) == ["03-29 00:59", "03-29 01:00", "03-29 01:59", "03-29 01:00"]
    assert marks("Europe/Athens", *shown) == [0, MISSING_HOUR, MISSING_HOUR, 0]


@pytest.mark.parametrize(
    ("shown", "new_york", "athens"),
    [
        pytest.param("2026-03-06 12:00", "03-06 10:00", "03-06 10:00", id="both on standard time"),
        pytest.param("2026-03-10 12:00", "03-10 09:00", "03-10 10:00", id="New York alone has changed"),
        pytest.param("2026-03-30 12:00", "03-30 09:00", "03-30 09:00", id="both have changed"),
        pytest.param("2026-10-26 12:00", "10-26 09:00", "10-26 10:00", id="Europe alone is back"),
        pytest.param("2026-11-02 12:00", "11-02 10:00", "11-02 10:00", id="both are back"),
    ],
)
def test_new_yorks_clock_seven_hours_on_is_not_athens_clock(shown: str, new_york: str, athens: str) -> None:
    """For weeks in spring and one in autumn they differ by an hour."""
    assert utc("America/New_York+7", shown) == [new_york]
    assert utc("Europe/Athens", shown) == [athens]


def test_new_york_changes_at_nine_on_the_shifted_clock() -> None:
    """New York skips 2 to 3 and repeats 1 to 2: on the broker's clock that is 9 to 10 and 8 to 9."""
    assert marks("America/New_York+7", "2026-03-08 08:59", "2026-03-08 09:00", "2026-03-08 10:00") == [
        0,
        MISSING_HOUR,
        0,
    ]
    assert marks("America/New_York+7", "2026-11-01 07:59", "2026-11-01 08:30", "2026-11-01 09:00") == [
        0,
        REPEATED_HOUR,
        0,
    ]


@given(
    st.sampled_from(["UTC", "Europe/Athens", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca"]),
    st.lists(st.integers(msc("2005-01-01") // 1000, msc("2037-01-01") // 1000), min_size=1, max_size=20),
)
def test_it_agrees_with_the_tz_database(name: str, seconds: list[int]) -> None:
    """For any times in one batch, those in doubt by fold 0; and back."""
    shown = [datetime.fromtimestamp(second, UTC) for second in seconds]
    expected = [int(time.replace(tzinfo=ZoneInfo(name)).timestamp()) * 1000 for time in shown]
    zone = Zone(name)
    assert zone.to_utc(np.array(seconds) * 1000)[0].tolist() == expected
    back = [datetime.fromtimestamp(time / 1000, ZoneInfo(name)).replace(tzinfo=UTC).timestamp() for time in expected]
    assert zone.from_utc(np.array(expected)).tolist() == [time * 1000 for time in back]


def test_absurd_times_do_no_harm() -> None:
    """A batch may bear any time; beyond the known years the nearest one's offset stands."""
    times = np.array([-(2**60), 0, 2**60])
    assert (times - Zone("Europe/Athens").to_utc(times)[0]).tolist() == [2 * HOUR] * 3


@pytest.mark.parametrize("rule", ["", "Athens", "Europe/Athen", "UTC+99", "America", "Europe/Athens+x", "../etc"])
def test_a_bad_rule_is_refused_with_a_sentence(rule: str) -> None:
    """It says what to write."""
    with pytest.raises(BadRuleError, match=r"write a zone|more than 14 hours"):
        Zone(rule)


def test_a_batch_costs_little() -> None:
    """No tick is touched in Python: a million of them take less than a second."""
    times = msc("2026-10-24 12:00") + np.arange(1_000_000) * 100
    converted, found = Zone("Europe/Athens").to_utc(times)
    assert found is not None
    assert (found == REPEATED_HOUR).sum() == 36_000
    assert len(converted) == 1_000_000
