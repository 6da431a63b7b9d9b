"""The agent's rules: which ticks come next, what may be executed, what became of an order."""
