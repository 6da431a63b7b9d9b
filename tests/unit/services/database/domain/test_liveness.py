"""Holes, silence and clocks, seen in live ticks only."""

import pytest

from mesh.market import TickId
from mesh.market.zone import BadRuleError
from services.database.domain.liveness import Liveness
from services.database.domain.name_rules import BadNameRuleError
from services.database.domain.session import BadSessionError, Session
from tests.unit.services.database.domain.feed import NOON_MSC, Alarms, at, sessions, zones

HOUR = 3_600_000
SESSION = "Sun 17:00-Fri 17:00 America/New_York"


def liveness(alarms: Alarms, *zone: str, session: str = "", stale_after_s: float = 60) -> Liveness:
    rules = sessions(f"GBP*={session}") if session else sessions()
    return Liveness(alarms.alarm, zones(*zone).of, rules, stale_after_s)


def test_a_hole_in_the_chain_is_told() -> None:
    """A message that does not begin where the one before ended; what comes again is none, nor what was refused."""
    alarms = Alarms()
    live = liveness(alarms)
    first, second = TickId(NOON_MSC, 0), TickId(NOON_MSC + 1000, 0)
    live.follow(at(NOON_MSC))
    live.follow(at(NOON_MSC + 1000, prev=first))
    live.follow(at(NOON_MSC + 1000, prev=first))
    live.pass_over("Demo", "EURUSD", TickId(NOON_MSC + 2000, 4))
    live.follow(at(NOON_MSC + 3000, prev=TickId(NOON_MSC + 2000, 4)))
    assert not alarms.told
    live.follow(at(NOON_MSC + 9000, prev=TickId(NOON_MSC + 8000, 0)))
    assert alarms.kinds == [("HOLE", "EURUSD")]
    assert (alarms.told[0].from_msc, alarms.told[0].to_msc) == (NOON_MSC + 3000, NOON_MSC + 8001)
    assert second < first._replace(time_msc=NOON_MSC + 3000)


def test_a_silent_symbol_is_told_once_until_it_ticks_again() -> None:
    """While others of its server tick; not when all are silent."""
    alarms = Alarms(every_ms=0)
    live = liveness(alarms)
    for second in (0, 55, 3000):
        live.follow(at(NOON_MSC + second * 1000, symbol="GBPUSD", server="Quiet"))
    assert not alarms.told
    live.follow(at(NOON_MSC, symbol="GBPUSD"))
    for second in range(0, 200, 10):
        live.follow(at(NOON_MSC + second * 1000))
    assert alarms.kinds == [("STALE_SYMBOL", "GBPUSD")]
    live.follow(at(NOON_MSC + 200_000, symbol="GBPUSD"))
    for second in range(200, 400, 10):
        live.follow(at(NOON_MSC + second * 1000))
    assert alarms.kinds == [("STALE_SYMBOL", "GBPUSD")] * 2


def test_a_symbol_whose_market_is_closed_may_be_silent() -> None:
    """Saturday's silence is no news."""
    alarms = Alarms()
    live = liveness(alarms, session=SESSION)
    saturday = NOON_MSC - 48 * HOUR
    live.follow(at(saturday, symbol="GBPUSD"))
    live.follow(at(saturday + 120_000))
    assert not alarms.told


def quotes(live: Liveness, ahead_ms: int, pace: float = 1.0, delay_ms: int = 40) -> None:
    """Ten quotes, a quarter of a minute apart, read with a delay by a clock that is `ahead_ms` of UTC."""
    for number in range(10):
        read_ms = NOON_MSC + number * 15_000
        tick_msc = NOON_MSC + int(number * 15_000 * pace) + ahead_ms - delay_ms * (number % 3)
        live.follow(at(tick_msc, read_ms))


def test_a_clock_that_the_rule_does_not_fit_is_told() -> None:
    """Fresh quotes of a November noon, two hours ahead: what most brokers run; the rule said UTC."""
    alarms = Alarms()
    quotes(liveness(alarms), 2 * HOUR)
    assert alarms.kinds == [("ZONE_MISMATCH", "")]
    detail = alarms.told[0].detail
    assert "Demo is +2 h from UTC; the rule UTC says +0 h" in detail
    assert "America/New_York+7 or Europe/Athens" in detail


def test_an_uncommon_clock_gets_a_fixed_rule() -> None:
    """Where no likely zone fits, the offset itself is named."""
    alarms = Alarms()
    quotes(liveness(alarms), 5 * HOUR + HOUR // 2)
    assert "UTC+5:30" in alarms.told[0].detail


@pytest.mark.parametrize(
    ("ahead_ms", "pace"),
    [
        pytest.param(2 * HOUR, 1.0, id="as the rule says"),
        pytest.param(-400 * 24 * HOUR, 1.0, id="a replay of last year"),
        pytest.param(0, 60.0, id="a fast replay"),
        pytest.param(0, 0.0, id="one tick again and again"),
    ],
)
def test_replays_and_fitting_clocks_are_not_told(ahead_ms: int, pace: float) -> None:
    """Only ticks that advance with the time of reading, near enough to it, say anything."""
    alarms = Alarms()
    quotes(liveness(alarms, "De*=Europe/Athens"), ahead_ms, pace)
    assert not alarms.told


def test_the_longest_prefix_rules() -> None:
    """A name's own rule before any prefix, a longer prefix before a shorter one."""
    rules = zones("IC*=UTC+1", "ICMarkets*=UTC+2", "ICMarkets-Demo=UTC+3")
    names = ("ICMarkets-Demo", "ICMarkets-Live", "ICE", "Other")
    assert [rules.of(name).rule for name in names] == ["UTC+3", "UTC+2", "UTC+1", "UTC"]


@pytest.mark.parametrize("entry", ["Europe/Athens", "=UTC", "Demo=Atlantis"])
def test_a_rule_that_can_not_be_read_is_refused(entry: str) -> None:
    """With what to write."""
    with pytest.raises((BadNameRuleError, BadRuleError), match="write"):
        zones(entry)


@pytest.mark.parametrize(
    "rule", ["", "Mon 09:00-17:00 UTC", "Mon 09:00-Mon 09:00 UTC", "Mon 09:00-Mon 12:00; Mon 11:00-Mon 13:00 UTC"]
)
def test_a_session_that_can_not_be_read_is_refused(rule: str) -> None:
    """With what to write."""
    with pytest.raises((BadSessionError, BadRuleError), match=r"write|give"):
        Session(rule)
