"""`python -m hub`: runs a hub."""

import gc
import sys

from hub.app import PROGRAM, main
from hub.config import HubSettings
from mesh.program import run

# Thousands of streams stand for long, and every burst of news allocates: with Python's own thresholds (700, 10, 10) the
# collector goes through all of them again and again, a third of a hub's CPU.
_COLLECT_AFTER = (50_000, 20, 100)

if __name__ == "__main__":
    gc.set_threshold(*_COLLECT_AFTER)
    sys.exit(run(PROGRAM, HubSettings, main))
