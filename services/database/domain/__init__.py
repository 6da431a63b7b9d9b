"""The rules of keeping: pure, synchronous, without I/O."""
