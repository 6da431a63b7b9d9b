"""The gRPC edge: messages to and from domain values."""
