"""What time it is at the trade server, by its quotes."""

from pc_agent.domain.trade_clock import TradeClock

DAY_S = 86_400
AHEAD_S = 3 * 3600
# 23:00 of the server's day.
CLOSE_S = 20_000 * DAY_S + 23 * 3600


class Told:
    """A clock that is shown quotes; times are seconds after the market's close, by the PC's clocks."""

    def __init__(self) -> None:
        self.clock = TradeClock()

    def quoted(self, at_s: float, quote_s: int, symbol: str = "EURUSD") -> None:
        self.clock.quoted(symbol, quote_s, self.utc_s(at_s), at_s)

    def at(self, at_s: float) -> int:
        """After the close, by the server's clock."""
        return self.clock.at(self.utc_s(at_s), at_s) - CLOSE_S

    def ahead_s(self, at_s: float) -> int | None:
        return self.clock.ahead_s(self.utc_s(at_s), at_s)

    def utc_s(self, at_s: float) -> int:
        return CLOSE_S - AHEAD_S + int(at_s)


def test_the_servers_clock_runs_on_while_no_quote_moves() -> None:
    """Through the hour between a market's close and midnight, over a weekend, and while nothing can be read."""
    told = Told()
    assert told.at(-10) == -10 - AHEAD_S  # UTC: no quote has told more
    told.quoted(-1, CLOSE_S - 1)
    for at_s in range(0, 3600, 60):
        told.quoted(at_s, CLOSE_S - 1)
    assert told.at(46 * 60) == 46 * 60
    told.quoted(2 * DAY_S, CLOSE_S - 1)  # older than any server's clock is off
    assert told.at(2 * DAY_S) == 2 * DAY_S


def test_a_quote_that_is_ahead_sets_the_clock() -> None:
    """It started with an old one; whatever symbol tells, the clock can not be behind it."""
    told = Told()
    told.quoted(600, CLOSE_S - 1)
    assert told.at(600) == -1
    told.quoted(601, CLOSE_S + 600, "BTCUSD")
    assert told.at(605) == 604


def test_old_quotes_do_not_set_the_clock_back() -> None:
    """Of another symbol, or found after the terminal was away: both may have been made long before they are read."""
    told = Told()
    told.quoted(0, CLOSE_S)
    told.quoted(1200, CLOSE_S - 1000, "USDTRY")
    told.quoted(1201, CLOSE_S, "EURUSD")
    told.quoted(3000, CLOSE_S + 900, "EURUSD")
    assert told.at(3000) == 3000


def test_a_clock_that_is_set_back_is_followed() -> None:
    """At the end of summer time: quotes go on moving, an hour behind. What is a second late sets nothing back."""
    told = Told()
    for at_s in range(5):
        told.quoted(at_s, CLOSE_S + at_s)
    told.quoted(6, CLOSE_S + 5)
    assert told.at(6) == 6
    for at_s in range(DAY_S, DAY_S + 3):
        told.quoted(at_s, CLOSE_S + at_s - 3600)
    assert told.at(DAY_S + 2) == DAY_S + 2 - 3600


def test_a_replays_quotes_are_no_clock() -> None:
    """UTC stands for the server's then; orders wait by the quotes' time all the same."""
    told, ago_s = Told(), 4 * 365 * DAY_S + 7
    for at_s in range(2):
        told.quoted(at_s, CLOSE_S - ago_s + at_s)
    assert told.at(5) == 5 - AHEAD_S
    assert told.ahead_s(9) == AHEAD_S - ago_s


def test_a_quote_that_moved_with_time_tells_how_far_the_server_is_ahead() -> None:
    """In quarter hours, whatever age the quote has by now: an hour's silence or a weekend's change nothing."""
    told = Told()
    told.quoted(0, CLOSE_S - 3)
    assert told.ahead_s(0) is None
    told.quoted(1, CLOSE_S - 2)
    assert told.ahead_s(1) == AHEAD_S
    told.quoted(2 * DAY_S, CLOSE_S - 2)
    assert told.ahead_s(2 * DAY_S) == AHEAD_S


def test_a_quote_that_was_only_found_does_not_tell_how_far_the_server_is_ahead() -> None:
    """Made while nobody looked, or shown when the terminal was back: it is older than it seems."""
    told = Told()
    told.quoted(7200, CLOSE_S)
    told.quoted(7201, CLOSE_S + 1800)
    assert told.ahead_s(7201) is None
    told.quoted(7202, CLOSE_S + 1800, "GBPUSD")
    told.quoted(7260, CLOSE_S + 1858, "GBPUSD")
    assert told.ahead_s(7260) is None
