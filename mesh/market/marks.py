"""Bits of a tick's marks (`TickMark` of the contract)."""

CROSSED = 1
ZERO_SPREAD = 2
SPIKE = 4
OUT_OF_SESSION = 8
ZERO_PRICE = 16
REPEATED_HOUR = 32
MISSING_HOUR = 64
