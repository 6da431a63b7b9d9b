"""`python -m pc_agent --config FILE`"""

import sys

# The worker process imports this module again; it needs none of what the agent needs.
if __name__ == "__main__":
    from mesh.program import run
    from pc_agent.app import main
    from pc_agent.config import AgentSettings
    from pc_agent.windows.no_console import stand_in_for_stderr

    stand_in_for_stderr()
    sys.exit(run("pc-agent", AgentSettings, main))
