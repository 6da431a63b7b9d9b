"""Calendars of news."""

from pc_agent.domain.news import Calendar, Impact, read_csv, read_ics

MINUTE = 60_000
# 2026-03-06T13:30:00Z
AT = 1_772_803_800_000

CSV = """time,currency,impact,title
2026-03-06T13:30:00Z,USD,high,Non-Farm Payrolls
2026-03-06 14:30:00+01:00,EUR,low,"Retail Sales, monthly"
tomorrow,USD,high,no time
2026-03-06T15:00:00,USDX,high,no currency
2026-03-06T15:00:00,USD,huge,no impact

2026-03-06T16:00:00,all,,Bank holiday
2026-03-06T15:00:00,USD,high
""".splitlines()

ICS = """BEGIN:VCALENDAR
BEGIN:VEVENT
DTSTART:20260306T133000Z
SUMMARY:Non-Farm\\, Pay
 rolls
CATEGORIES:USD,CAD
PRIORITY:1
END:VEVENT
BEGIN:VEVENT
DTSTART;TZID=Europe/Berlin:20260306T133000
SUMMARY:a zone of its own
END:VEVENT
BEGIN:VEVENT
DTSTART:20260306T160000Z
SUMMARY:Small talk
PRIORITY:7
END:VEVENT
END:VCALENDAR
""".splitlines()


def title(calendar: Calendar, minutes: float, *currencies: str, least: Impact = Impact.HIGH) -> str:
    return calendar.title(AT + int(minutes * MINUTE), currencies, 5 * MINUTE, 10 * MINUTE, least)


def test_a_moment_is_in_the_window_of_news_of_its_currencies() -> None:
    """From five minutes before to ten behind, both ends counted."""
    calendar = read_csv(CSV)
    assert [title(calendar, at, "EUR", "USD") for at in (-5.1, -5, 0, 10, 10.1)] == [
        "", "Non-Farm Payrolls", "Non-Farm Payrolls", "Non-Farm Payrolls", "",
    ]  # fmt: skip
    assert title(calendar, 0, "EUR", "GBP") == ""
    assert title(calendar, 0, "EUR", "GBP", least=Impact.LOW) == "Retail Sales, monthly"
    assert title(calendar, 150, "JPY") == "Bank holiday"


def test_bad_lines_are_told_and_the_others_count() -> None:
    """With what was expected of each."""
    calendar = read_csv(CSV)
    assert [(bad.number, bad.expected) for bad in calendar.bad] == [
        (4, "a time such as 2026-03-06T13:30:00Z"),
        (5, "a currency of three letters, or ALL"),
        (6, "an impact of low, medium or high"),
        (9, "4 fields"),
    ]
    assert len(calendar.news) == 3
    assert read_csv(["when,what"]).bad[0].number == 1


def test_an_icalendar_file_says_the_same() -> None:
    """Folded lines, several currencies, priorities; a zone of its own is a bad event."""
    calendar = read_ics(ICS)
    assert title(calendar, 0, "CAD") == title(calendar, 0, "USD") == "Non-Farm, Payrolls"
    assert title(calendar, 0, "EUR") == ""
    assert title(calendar, 150, "EUR") == ""
    assert title(calendar, 150, "EUR", least=Impact.LOW) == "Small talk"
    assert [(bad.number, bad.expected) for bad in calendar.bad] == [(9, "DTSTART in UTC")]
