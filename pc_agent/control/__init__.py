"""The agent's own desk for the person at the PC: a gRPC service on loopback, behind a token."""
