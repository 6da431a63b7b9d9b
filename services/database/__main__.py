"""`python -m services.database`."""

import sys

from mesh.program import run
from services.database.app import PROGRAM, main
from services.database.config import DatabaseSettings

if __name__ == "__main__":
    sys.exit(run(PROGRAM, DatabaseSettings, main))
