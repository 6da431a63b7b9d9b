"""Benchmarks: Suho beside its peers and its limits, in the same run, on the same ticks."""
