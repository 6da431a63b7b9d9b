"""The newest stored tick of a symbol. Bridges ask for thousands at once when agents come: one query answers many."""

import asyncio
import itertools
from dataclasses import dataclass

from mesh.market import BEFORE_FIRST, TickId
from services.database.clickhouse.client import ClickHouse
from services.database.domain.tick import Tick

_MOST = 100

# Who asks mostly asks of symbols that nobody has seen yet: the index says so at once.
_KNOWN = "SELECT DISTINCT server, symbol FROM ticks WHERE (server, symbol) IN ({0})"
_LAST = (
    "(SELECT server, symbol, time_msc, ordinal, bid, ask, last, volume, volume_real, flags FROM ticks"
    " WHERE server = {{server{0}:String}} AND symbol = {{symbol{0}:String}}"
    " ORDER BY time_msc DESC, ordinal DESC, generation DESC LIMIT 1)"
)
_REFUSED = (
    "SELECT server, symbol, max((last_time_msc, last_ordinal)) AS id FROM tick_quarantine"
    " WHERE (server, symbol) IN ({0}) GROUP BY server, symbol"
)

_Names = tuple[str, str]


@dataclass(slots=True)
class _Question:
    answered: bool = False
    tick: Tick | None = None


class LastTicks:
    """Answers together what is asked while an answer is under way."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse
        self._asked: dict[_Names, _Question] = {}
        self._asking = asyncio.Lock()

    async def get(self, server: str, symbol: str) -> Tick | None:
        """The newest stored tick; without values where refused ones stand behind it; None: there is none.

        Raises:
            MeshError: ENGINE_UNAVAILABLE.
        """
        names = server, symbol
        question = self._asked.setdefault(names, _Question())
        async with self._asking:
            while not question.answered:
                self._asked[names] = question
                await self._answer(list(itertools.islice(self._asked, _MOST)))
        return question.tick

    async def _answer(self, asked: list[_Names]) -> None:
        values = {f"server{place}": names[0] for place, names in enumerate(asked)}
        values |= {f"symbol{place}": names[1] for place, names in enumerate(asked)}
        pairs = ", ".join(f"({{server{place}:String}}, {{symbol{place}:String}})" for place in range(len(asked)))
        known = {(row["server"], row["symbol"]) for row in await self._clickhouse.rows(_KNOWN.format(pairs), **values)}
        stored: dict[_Names, Tick] = {}
        if newest := " UNION ALL ".join(_LAST.format(place) for place, names in enumerate(asked) if names in known):
            found = await self._clickhouse.rows(newest, **values)
            stored = {(row["server"], row["symbol"]): _tick(row) for row in found}
        refused = {
            (row["server"], row["symbol"]): TickId(*row["id"])
            for row in await self._clickhouse.rows(_REFUSED.format(pairs), **values)
        }
        for names in asked:
            question = self._asked.pop(names)
            question.tick = _later(names, stored.get(names), refused.get(names, BEFORE_FIRST))
            question.answered = True


def _later(names: _Names, stored: Tick | None, refused: TickId) -> Tick | None:
    if refused == BEFORE_FIRST or (stored is not None and stored.id >= refused):
        return stored
    return Tick(*names, id=refused, bid=0.0, ask=0.0, last=0.0, volume=0, volume_real=0.0, flags=0)


def _tick(row: dict[str, object]) -> Tick:
    values = dict(row)
    return Tick(id=TickId(values.pop("time_msc"), values.pop("ordinal")), **values)  # type: ignore[arg-type]
