"""Started by pythonw there is no standard error: what is said there before a log is open would be lost."""

import sys

from pc_agent.paths import log_folder

_MOST_BYTES = 1_000_000


def stand_in_for_stderr() -> None:
    """A file beside the logs, where there is no standard error; begun anew when it has grown."""
    if sys.stderr is not None:
        return
    file = log_folder() / "pc-agent.err"
    file.parent.mkdir(parents=True, exist_ok=True)
    grown = file.exists() and file.stat().st_size > _MOST_BYTES
    sys.stderr = file.open("w" if grown else "a", encoding="utf-8", buffering=1)
