"""The gRPC edge: messages to domain values and back."""
