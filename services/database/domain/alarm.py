"""Incidents, of a kind and symbol not oftener than people can bear."""

from collections.abc import Callable

from services.database.domain.incident import Incident

# (kind, symbol) pairs remembered; beyond, the one that is longest ago is forgotten.
_MOST = 100_000


class Alarm:
    """Turns what is noticed into incidents, at most one of a kind and symbol in `every_ms`.

    Args:
        now_ms: The clock.
        note: Told of each incident.
        reporter: Who notices it: this instance.
    """

    def __init__(
        self, now_ms: Callable[[], int], note: Callable[[Incident], None], reporter: str, every_ms: int
    ) -> None:
        self._now_ms = now_ms
        self._note = note
        self._reporter = reporter
        self._every_ms = every_ms
        self._told: dict[tuple[str, str, str], int] = {}
        self._silenced: dict[tuple[str, str, str], int] = {}

    def tell(
        self, kind: str, server: str, symbol: str, detail: str, from_msc: int = 0, to_msc: int = 0, ticks: int = 0
    ) -> None:
        """An incident, or one of many that the next incident of this kind and symbol will count."""
        key, now_ms = (kind, server, symbol), self._now_ms()
        if now_ms - self._told.get(key, now_ms - self._every_ms) < self._every_ms:
            self._silenced[key] = self._silenced.get(key, 0) + 1
            return
        self._told.pop(key, None)  # to the end
        self._told[key] = now_ms
        if len(self._told) > _MOST:
            oldest = next(iter(self._told))
            del self._told[oldest]
            self._silenced.pop(oldest, None)
        silenced = self._silenced.pop(key, 0)
        more = f" ({silenced} more since the last report)" if silenced else ""
        self._note(
            Incident(
                id=f"{kind}:{server}:{symbol}:{from_msc or now_ms}",
                at_unix_ms=now_ms,
                kind=kind,
                server=server,
                symbol=symbol,
                from_msc=from_msc,
                to_msc=to_msc,
                ticks=ticks,
                detail=detail + more,
                reporter=self._reporter,
            )
        )
