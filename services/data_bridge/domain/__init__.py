"""The bridge's rules: what follows on what, what is joined, what is refused."""
