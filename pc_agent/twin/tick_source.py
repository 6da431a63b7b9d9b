"""Files of ticks that can be replayed, whatever their shape."""

from pathlib import Path

from pc_agent.twin.domain.ticks import ParsedTicks
from pc_agent.twin.tick_csv import TickFileError, check_text, read_text
from pc_agent.twin.tick_parquet import check_parquet, read_parquet

__all__ = ["ParsedTicks", "TickFileError", "check_shape", "read_ticks"]


def check_shape(path: Path) -> None:
    """Read the header only.

    Raises:
        TickFileError: the file can not be read or is of no shape that can be replayed.
    """
    (check_parquet if _is_parquet(path) else check_text)(path)


def read_ticks(path: Path) -> ParsedTicks:
    """Parse a whole file.

    Raises:
        TickFileError: naming file, line or row, and what was expected there.
    """
    return (read_parquet if _is_parquet(path) else read_text)(path)


def _is_parquet(path: Path) -> bool:
    return path.suffix == ".parquet"
