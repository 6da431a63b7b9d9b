"""The terminal: the worker process that holds it, and what is said to it."""
