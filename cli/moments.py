"""Moments as people write them: `--from 2014-05-01`, `--to 2014-05-01T12:30`, or milliseconds since 1970."""

from datetime import UTC, datetime
from typing import Annotated

import typer

DAY_MS = 86_400_000
_END_MS = 253_402_300_800_000  # of the year 9999


def moment(text: str) -> int:
    """Milliseconds since 1970 on the trade server's clock.

    Raises:
        typer.BadParameter: it is no moment.
    """
    if text.isascii() and text.isdigit():
        return _bounded(int(text), text)
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is no moment: write 2014-05-01, 2014-05-01T12:30:00 or milliseconds since 1970"
        ) from None
    if parsed.tzinfo is not None and parsed.utcoffset():
        raise typer.BadParameter(f"{text!r} bears a zone: moments are the trade server's, write them without one")
    return _bounded(round(parsed.replace(tzinfo=UTC).timestamp() * 1000), text)


def _bounded(time_msc: int, text: str) -> int:
    if not 0 <= time_msc < _END_MS:
        raise typer.BadParameter(f"{text!r} is not between 1970 and 9999")
    return time_msc


def check_order(from_msc: int | None, to_msc: int | None) -> None:
    """Raises typer.BadParameter: the range is empty."""
    if from_msc is not None and to_msc is not None and from_msc >= to_msc:
        raise typer.BadParameter("it is not before --to", param_hint="--from")


def day_of(time_msc: int) -> int:
    """When the server's day of that moment began."""
    return time_msc - time_msc % DAY_MS


def date_of(time_msc: int) -> str:
    """YYYY-MM-DD."""
    return f"{datetime.fromtimestamp(time_msc / 1000, UTC):%Y-%m-%d}"


FromOption = Annotated[
    int | None, typer.Option("--from", parser=moment, metavar="MOMENT", help="Server time, e.g. 2014-05-01T12:30.")
]
ToOption = Annotated[
    int | None, typer.Option("--to", parser=moment, metavar="MOMENT", help="Server time; not itself included.")
]
