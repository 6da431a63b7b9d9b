"""`python -m services.trading_engine`: runs a trading engine."""

import sys

from mesh.program import run
from services.trading_engine.app import PROGRAM, main
from services.trading_engine.config import EngineSettings

if __name__ == "__main__":
    sys.exit(run(PROGRAM, EngineSettings, main))
