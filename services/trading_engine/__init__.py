"""The trading engine: decides on signals, hands them to their agents, and learns what became of them."""
