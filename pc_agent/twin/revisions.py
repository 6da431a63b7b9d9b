"""What was done to the market from outside, kept in the terminal's folder: a line for each deed, only ever appended."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pc_agent.twin.domain.history import ClockStep, Replacement, Revision
from pc_agent.twin.domain.ticks import TICK_DTYPE


class RevisionFile:
    """A deed that a death tore did not happen."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a+b", buffering=0)
        self._file.seek(0)
        whole, newline, _ = self._file.read().rpartition(b"\n")
        self._file.truncate(len(whole) + len(newline))
        deeds = [json.loads(line) for line in whole.splitlines()]
        self.revisions: list[Revision] = [_revision(one) for deed in deeds for one in deed.get("revised", ())]
        self.shown: set[str] = {deed["shown"] for deed in deeds if "shown" in deed}

    def show(self, symbol: str) -> None:
        self._write({"shown": symbol})
        self.shown.add(symbol)

    def revise(self, revisions: Sequence[Revision]) -> None:
        """All of them or none."""
        self._write({"revised": [_fields(revision) for revision in revisions]})
        self.revisions.extend(revisions)

    def _write(self, deed: dict[str, Any]) -> None:
        self._file.write(json.dumps(deed).encode() + b"\n")
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()


def _fields(revision: Revision) -> dict[str, Any]:
    fields = dict(vars(revision))
    if isinstance(revision, Replacement):
        fields["ticks"] = revision.ticks.tobytes().hex()
    return fields


def _revision(fields: dict[str, Any]) -> Revision:
    if "by_ms" in fields:
        return ClockStep(**fields)
    ticks = np.frombuffer(bytes.fromhex(fields.pop("ticks")), TICK_DTYPE)
    return Replacement(**fields, ticks=ticks)
