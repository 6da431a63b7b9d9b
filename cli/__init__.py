"""The `suho` command: starts things, asks them things; thin."""
