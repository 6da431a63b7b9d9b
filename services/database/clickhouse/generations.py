"""Which rows are of the newest generation, in SQL."""

from services.database.clickhouse.client import ClickHouse
from services.database.domain.generations import CorrectedRange, standing

_OVERLAPPING = (
    "SELECT DISTINCT generation, from_msc, to_msc FROM tick_corrections"
    " WHERE server = {server:String} AND symbol = {symbol:String}"
    " AND from_msc < {to_msc:Int64} AND to_msc > {from_msc:Int64}"
)

ALWAYS_MSC = (-(2**63), 2**63 - 1)


async def corrections(
    clickhouse: ClickHouse, server: str, symbol: str, from_msc: int = ALWAYS_MSC[0], to_msc: int = ALWAYS_MSC[1]
) -> list[CorrectedRange]:
    """Those of a symbol that touch [from_msc, to_msc)."""
    names = {"server": server, "symbol": symbol}
    found = await clickhouse.rows(_OVERLAPPING, from_msc=from_msc, to_msc=to_msc, **names)
    return [CorrectedRange(**row) for row in found]


def newest(corrected: list[CorrectedRange]) -> str:
    """The condition that a row of a symbol with these corrections is of the generation that stands at its time."""
    ranges = standing(corrected)
    if not ranges:
        return "generation = 0"
    steps: list[str] = []
    for place, stretch in enumerate(ranges):
        if place == 0 or ranges[place - 1].to_msc < stretch.from_msc:
            steps.append(f"time_msc < {stretch.from_msc}, 0")
        steps.append(f"time_msc < {stretch.to_msc}, {stretch.generation}")
    return f"generation = multiIf({', '.join(steps)}, 0)"
