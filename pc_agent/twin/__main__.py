"""python -m pc_agent.twin --config FILE"""

import sys

from mesh.program import run
from pc_agent.twin.app import main
from pc_agent.twin.config import TwinSettings

if __name__ == "__main__":
    sys.exit(run("twin", TwinSettings, main))
