"""Moments as people write them: `--from 2014-05-01`, `--to 2014-05-01T12:30`, or milliseconds since 1970."""

from datetime import UTC, datetime
from typing import Annotated

import typer

DAY_MS = 86_400_000


def moment(text: str) -> int:
    """Milliseconds since 1970 on the trade server's clock.

    Raises:
        typer.BadParameter: it is no moment.
    """
    if text.isascii() and text.isdigit():
        return int(text)
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is no moment: write 2014-05-01, 2014-05-01T12:30:00 or milliseconds since 1970"
        ) from None
    if parsed.tzinfo is not None and parsed.utcoffset():
        raise typer.BadParameter(f"{text!r} bears a zone: moments are the trade server's, write them without one")
    return round(parsed.replace(tzinfo=UTC).timestamp() * 1000)


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
