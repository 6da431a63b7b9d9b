"""The agent's settings beyond its start: written with comments, changed by the hub, journalled."""
