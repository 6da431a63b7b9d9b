"""Whether what was inserted survives the loss of power: ClickHouse flushes to the disk by a setting of each table."""

from mesh.log import get_logger
from services.database.clickhouse.client import ClickHouse

log = get_logger(__name__)

# What the sinks insert into. Merged parts need no flush of their own: their sources stay for minutes.
_TABLES = ("ticks", "tick_quarantine", "tick_corrections")
_ENGINES = (
    "SELECT name, position(engine_full, 'fsync_after_insert = 1') > 0 AS synced FROM system.tables"
    " WHERE database = currentDatabase() AND name IN {tables:Array(String)}"
)


async def sync_inserts(clickhouse: ClickHouse, wanted: bool) -> None:
    """Let inserts return only when the disk has them, or not; changes nothing where it is so already."""
    for row in await clickhouse.rows(_ENGINES, tables=list(_TABLES)):
        if bool(row["synced"]) == wanted:
            continue
        change = (
            "MODIFY SETTING fsync_after_insert = 1, fsync_part_directory = 1"
            if wanted
            else "RESET SETTING fsync_after_insert, fsync_part_directory"
        )
        await clickhouse.command(f"ALTER TABLE {row['name']} {change}")
        log.info("durability of inserts changed", table=row["name"], survives_power_loss=wanted)
