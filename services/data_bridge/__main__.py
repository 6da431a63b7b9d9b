"""`python -m services.data_bridge --config FILE`"""

import sys

from mesh.program import run
from services.data_bridge.app import PROGRAM, main
from services.data_bridge.config import BridgeSettings

if __name__ == "__main__":
    sys.exit(run(PROGRAM, BridgeSettings, main))
