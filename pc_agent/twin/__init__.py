"""The twin terminal: what stands in for terminal64.exe where there is none, and its client module."""
