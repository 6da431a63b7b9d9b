"""What the agent collects of markets, and what it says of them."""
