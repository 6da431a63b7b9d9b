"""Files that only their owner may read."""

import os
from pathlib import Path


def write_private(path: Path, text: str) -> Path:
    """Replace `path` by a file of mode 0600 that holds `text`; readers see the old one or the new one."""
    fresh = path.with_name(path.name + ".new")
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    fresh.replace(path)
    return path
