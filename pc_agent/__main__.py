"""`python -m pc_agent --config FILE`"""

import sys

# The worker process imports this module again; it needs none of what the agent needs.
if __name__ == "__main__":
    from pc_agent.terminal.worker_process import start_ahead
    from pc_agent.windows.no_console import stand_in_for_stderr

    stand_in_for_stderr()
    start_ahead()  # it loads its part beside all that follows

    from mesh.program import run
    from pc_agent.app import main
    from pc_agent.config import AgentSettings

    sys.exit(run("pc-agent", AgentSettings, main))
