"""The tick lanes, and the history that is asked of the agent."""
