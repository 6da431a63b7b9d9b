"""A calendar of economic news: its file, and whose window a moment lies in.

As CSV: the header `time,currency,impact,title`, then a line for each piece of news. The time is ISO 8601 and UTC where
it names no offset; the currency has three letters, or is ALL; the impact is low, medium or high; empty: high.

As iCalendar (`.ics`): a VEVENT each. DTSTART is its time (UTC with or without Z, `;TZID=` is not known here), SUMMARY
its title, CATEGORIES its currencies, none: ALL; PRIORITY 1 to 4 is high, 5 medium, 6 to 9 low, none: high.
"""

import csv
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import IntEnum

EVERY = "ALL"
_HEADER = ["time", "currency", "impact", "title"]


class Impact(IntEnum):
    LOW = 1
    MEDIUM = 2
    HIGH = 3


@dataclass(frozen=True, slots=True, order=True)
class News:
    at_unix_ms: int
    currency: str
    impact: Impact
    title: str


@dataclass(frozen=True, slots=True)
class BadLine:
    """Line `number` of the file (from 1), and what was expected there."""

    number: int
    expected: str


@dataclass(frozen=True)
class Calendar:
    """All news of a file, by time."""

    news: Sequence[News] = ()
    bad: Sequence[BadLine] = ()
    _times: list[int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_times", [one.at_unix_ms for one in self.news])

    def title(self, now_unix_ms: int, currencies: Collection[str], before_ms: int, after_ms: int, least: Impact) -> str:
        """Of the news whose window, from `before_ms` before it to `after_ms` behind it, holds now; empty: none."""
        first = bisect_left(self._times, now_unix_ms - after_ms)
        last = bisect_right(self._times, now_unix_ms + before_ms)
        for one in self.news[first:last]:
            if one.impact >= least and (one.currency == EVERY or one.currency in currencies):
                return one.title
        return ""


def read_csv(lines: Sequence[str]) -> Calendar:
    """Lines that can not be read are told, the others count."""
    rows = csv.reader(lines)
    header = [name.strip().lower() for name in next(rows, [])]
    if header != _HEADER:
        return Calendar(bad=(BadLine(1, f"the header {','.join(_HEADER)}"),))
    news, bad = [], []
    for row in rows:
        if not any(row):
            continue
        try:
            news.append(_of_row(row))
        except ValueError as error:
            bad.append(BadLine(rows.line_num, str(error)))
    return Calendar(sorted(news), bad)


def read_ics(lines: Sequence[str]) -> Calendar:
    """Events that can not be read are told, the others count."""
    news, bad = [], []
    for number, event in _events(lines):
        try:
            news.extend(_of_event(event))
        except ValueError as error:
            bad.append(BadLine(number, str(error)))
    return Calendar(sorted(news), bad)


def _of_row(row: list[str]) -> News:
    if len(row) != len(_HEADER):
        raise ValueError(f"{len(_HEADER)} fields")
    time, currency, impact, title = (cell.strip() for cell in row)
    if impact.upper() not in ("", *Impact.__members__):
        raise ValueError("an impact of low, medium or high")
    return News(_unix_ms(time), _currency(currency), Impact[impact.upper() or "HIGH"], _title(title))


def _events(lines: Iterable[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Each VEVENT's properties without their parameters, and the line where it begins."""
    event: dict[str, str] | None = None
    begun, last = 0, ""
    for number, line in enumerate(lines, 1):
        line = line.rstrip("\r\n")
        name, _, value = line.partition(":")
        name = name.partition(";")[0].upper() + ("!" if ";TZID=" in name.upper() else "")
        if line == "BEGIN:VEVENT":
            event, begun = {}, number
        elif line == "END:VEVENT" and event is not None:
            yield begun, event
            event = None
        elif event is not None and line[:1] in (" ", "\t") and last:
            event[last] += line[1:]  # a folded line
        elif event is not None:
            last = name
            event[name] = value


def _of_event(event: dict[str, str]) -> list[News]:
    if "DTSTART!" in event:
        raise ValueError("DTSTART in UTC")
    at, title = _unix_ms(event.get("DTSTART", "")), _title(event.get("SUMMARY", "").replace("\\,", ",").strip())
    currencies = [_currency(one.strip()) for one in (event.get("CATEGORIES") or EVERY).split(",")]
    return [News(at, currency, _impact(event.get("PRIORITY", "").strip()), title) for currency in currencies]


def _impact(priority: str) -> Impact:
    if priority not in ("", *"0123456789"):
        raise ValueError("a PRIORITY from 0 to 9")
    number = int(priority or 0)
    return Impact.HIGH if number < 5 else Impact.MEDIUM if number == 5 else Impact.LOW


def _unix_ms(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("a time such as 2026-03-06T13:30:00Z") from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def _currency(text: str) -> str:
    if len(text) != 3 or not text.isalpha():
        raise ValueError("a currency of three letters, or ALL")
    return text.upper()


def _title(text: str) -> str:
    if not text:
        raise ValueError("a title")
    return text[:200]
