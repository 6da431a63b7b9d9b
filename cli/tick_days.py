"""Exported ticks on disk: `server=…/symbol=…/date=YYYY-MM-DD/ticks.parquet`, each with a manifest beside it.

A day counts when its manifest is there and the file bears the manifest's checksum: the manifest is written last.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import quote

from cli.moments import date_of

FILE = "ticks.parquet"
MANIFEST = "ticks.json"
_FORMAT = 1
_PARTS_READ = 1 << 20


class ManifestError(Exception):
    """A day that does not count; the message says why."""


@dataclass(frozen=True)
class Manifest:
    """One symbol's ticks of the server times [from_msc, to_msc), and what they amount to."""

    server: str
    symbol: str
    from_msc: int
    to_msc: int
    ticks: int
    hash: int  # `mesh.market.digest`
    sha256: str  # of the file


def day_folder(out: Path, server: str, symbol: str, from_msc: int) -> Path:
    """Names are percent-encoded, as readers of such partitions expect it."""
    return out / f"server={quote(server, safe='')}" / f"symbol={quote(symbol, safe='')}" / f"date={date_of(from_msc)}"


def read_manifest(folder: Path) -> Manifest:
    """The day in `folder`, its file not looked at.

    Raises:
        ManifestError
    """
    path = folder / MANIFEST
    try:
        fields = json.loads(path.read_text("utf-8"))
        if fields.pop("format") != _FORMAT:
            raise ManifestError(f"{path} is of another format than {_FORMAT}: import it with the version that wrote it")
        return Manifest(**fields)
    except FileNotFoundError:
        raise ManifestError(f"{folder} has no {MANIFEST}: its export did not finish, run it again") from None
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        raise ManifestError(f"{path} can not be read: export the day again") from None


def verified(folder: Path) -> Manifest:
    """The day in `folder`, its file's checksum checked.

    Raises:
        ManifestError
    """
    manifest = read_manifest(folder)
    try:
        found = checksum(folder / FILE)
    except OSError as error:
        raise ManifestError(f"{folder / FILE} can not be read: {error.strerror}") from None
    if found != manifest.sha256:
        raise ManifestError(f"{folder / FILE} does not bear its manifest's checksum: it was changed, export it again")
    return manifest


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """In one step, after the file."""
    half = folder / (MANIFEST + ".half")
    with half.open("w", encoding="utf-8") as file:
        json.dump({"format": _FORMAT, **asdict(manifest)}, file)
        file.flush()
        os.fsync(file.fileno())
    half.replace(folder / MANIFEST)


def day_folders(root: Path) -> Iterator[Path]:
    """Every day below `root`, unfinished ones too, in order."""
    return iter(sorted({path.parent for name in (FILE, MANIFEST) for path in root.rglob(name)}))


def checksum(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(_PARTS_READ):
            digest.update(part)
    return digest.hexdigest()
