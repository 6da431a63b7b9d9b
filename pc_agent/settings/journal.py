"""Every change of the agent's settings, a JSON object a line, and what must be known of them after a restart."""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mesh.configuration import KeptConfig, Made
from mesh.log import get_logger

log = get_logger(__name__)

JOURNAL = "settings-journal.jsonl"
STATE = "settings-state.json"
# When it has grown beyond this it becomes `….1`, in place of the one before.
_LARGEST = 4 << 20


@dataclass(frozen=True, slots=True)
class Change:
    """A value that changes, or that was asked for and does not; values as JSON has them."""

    name: str
    old: Any
    new: Any
    outcome: str
    """ "now", "at the next start", or why it is held."""


@dataclass(frozen=True, slots=True)
class Remembered:
    """What the mesh kept when it was last fit, and the settings that counted then, as JSON has them."""

    kept: KeptConfig
    settings: Mapping[str, Any]


def append(folder: Path, record: Mapping[str, Any]) -> None:
    """Write a record; it is on the disk when this returns.

    Raises:
        OSError: it could not be written.
    """
    path = folder / JOURNAL
    if path.exists() and path.stat().st_size > _LARGEST:
        path.replace(path.with_name(f"{JOURNAL}.1"))
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(record, ensure_ascii=False) + "\n")
        file.flush()
        os.fsync(file.fileno())


def records(folder: Path) -> Iterator[dict[str, Any]]:
    """All records, oldest first; a line that was cut off by a loss of power is passed over."""
    for path in (folder / f"{JOURNAL}.1", folder / JOURNAL):
        if path.exists():
            for line in path.read_text("utf-8", errors="replace").splitlines():
                try:
                    yield json.loads(line)
                except ValueError:
                    log.warning("a line of the settings' journal can not be read", path=str(path), line=line[:80])


def remember(folder: Path, remembered: Remembered) -> None:
    """Replace what is remembered, whole or not at all.

    Raises:
        OSError: it could not be written.
    """
    path = folder / STATE
    fresh = path.with_name(f"{STATE}.new")
    with fresh.open("w", encoding="utf-8") as file:
        json.dump(asdict(remembered), file, ensure_ascii=False)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def recall(folder: Path) -> Remembered:
    """What is remembered; nothing where there is nothing that can be read."""
    try:
        found = json.loads((folder / STATE).read_text("utf-8"))
        kept = found["kept"]
        config = KeptConfig(dict(kept["values"]), Made(**kept["of_service"]), Made(**kept["of_instance"]))
        return Remembered(config, dict(found["settings"]))
    except FileNotFoundError:
        pass
    except (OSError, ValueError, TypeError, KeyError) as error:
        log.error("what the mesh kept last can not be read; the PC's own settings count", because=str(error))
    return Remembered(KeptConfig(), {})
