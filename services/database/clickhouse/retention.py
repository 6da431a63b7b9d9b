"""How long ticks are kept, and where: TTL of the ticks table."""

from dataclasses import dataclass

from clickhouse_connect.driver.exceptions import DatabaseError

from mesh.config import SettingsError
from mesh.log import get_logger
from services.database.clickhouse.client import ClickHouse

log = get_logger(__name__)

# As ClickHouse itself writes it, so that what is there can be compared with what is wanted.
_DAYS_OLD = "toDateTime(intDiv(time_msc, 1000)) + toIntervalDay({days})"
_ENGINE = "SELECT engine_full FROM system.tables WHERE database = currentDatabase() AND name = 'ticks'"


@dataclass(frozen=True, slots=True)
class Retention:
    """Days after which a tick is deleted, and moves to `cold_volume`; 0: never."""

    keep_days: int
    cold_after_days: int
    cold_volume: str

    @property
    def ttl(self) -> str:
        """The table's TTL clause; empty: none."""
        parts = []
        if self.keep_days:
            parts.append(_DAYS_OLD.format(days=self.keep_days))
        if self.cold_after_days:
            parts.append(f"{_DAYS_OLD.format(days=self.cold_after_days)} TO VOLUME '{self.cold_volume}'")
        return ", ".join(parts)


async def keep(clickhouse: ClickHouse, retention: Retention) -> None:
    """Let the ticks table have this TTL; changes nothing where it has it already.

    Raises:
        SettingsError: ClickHouse refuses it.
    """
    engine = str((await clickhouse.rows(_ENGINE))[0]["engine_full"])
    there = engine.partition(" TTL ")[2].partition(" SETTINGS ")[0]
    if there == retention.ttl:
        return
    change = f"MODIFY TTL {retention.ttl}" if retention.ttl else "REMOVE TTL"
    try:
        await clickhouse.command(f"ALTER TABLE ticks {change}")
    except DatabaseError as error:
        raise SettingsError(
            f"settings 'ticks_keep_days', 'ticks_cold_after_days', 'cold_volume': ClickHouse refuses them ({error})"
        ) from None
    log.info("retention of ticks changed", ttl=retention.ttl or "none")
