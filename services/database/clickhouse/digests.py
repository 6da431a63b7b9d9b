"""`mesh.market.digest` over stored ticks, in SQL."""

from mesh.market.batch import COLUMNS
from mesh.market.digest import DIGEST_COLUMNS, MULTIPLIER, SHIFT, Digest
from services.database.clickhouse.client import ClickHouse
from services.database.clickhouse.generations import corrections, newest


def _hash_steps() -> str:
    """Each column's two steps as aliases; h_<last column> is the tick's hash. UInt64 wraps as in numpy."""
    steps, so_far = [], "toUInt64(0)"
    for name in DIGEST_COLUMNS:
        # Adding 0 makes -0.0 to 0.0.
        bits = f"reinterpretAsUInt64({name} + 0.)" if COLUMNS[name].kind == "f" else f"toUInt64({name})"
        steps.append(f"bitXor({so_far}, {bits}) * toUInt64({MULTIPLIER}) AS m_{name}")
        steps.append(f"bitXor(m_{name}, bitShiftRight(m_{name}, {SHIFT})) AS h_{name}")
        so_far = f"h_{name}"
    return ", ".join(steps)


_DIGESTS = (
    f"WITH {_hash_steps()}"
    " SELECT intDiv(time_msc - {from_msc:Int64}, {bucket_ms:UInt32}) AS place, count() AS count,"
    f" sum(h_{DIGEST_COLUMNS[-1]}) AS hash"
    " FROM ticks FINAL WHERE server = {server:String} AND symbol = {symbol:String}"
    " AND time_msc >= {from_msc:Int64} AND time_msc < {to_msc:Int64} AND %s GROUP BY place"
    " SETTINGS do_not_merge_across_partitions_select_final = 1"
)


class TickDigests:
    """Digests of the ticks table's newest generation, deduplicated."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse

    async def of(
        self, server: str, symbol: str, from_msc: int, to_msc: int, bucket_ms: int
    ) -> tuple[list[Digest], int]:
        """One for each bucket, empty ones too; and the highest generation of a correction in the range, or 0.

        Raises:
            MeshError: ENGINE_UNAVAILABLE.
        """
        corrected = await corrections(self._clickhouse, server, symbol, from_msc, to_msc)
        names = {"server": server, "symbol": symbol}
        asked = {"from_msc": from_msc, "to_msc": to_msc, "bucket_ms": bucket_ms}
        rows = await self._clickhouse.rows(_DIGESTS % newest(corrected), **names, **asked)
        found = {row["place"]: (row["count"], row["hash"]) for row in rows}
        digests = [
            Digest(start, min(start + bucket_ms, to_msc), *found.get(place, (0, 0)))
            for place, start in enumerate(range(from_msc, to_msc, bucket_ms))
        ]
        return digests, max((correction.generation for correction in corrected), default=0)
