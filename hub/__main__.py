"""`python -m hub`: runs a hub."""

import sys

from hub.app import PROGRAM, main
from hub.config import HubSettings
from mesh.program import run

if __name__ == "__main__":
    sys.exit(run(PROGRAM, HubSettings, main))
