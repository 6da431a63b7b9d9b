"""The rules of deciding: pure, synchronous, without I/O."""
