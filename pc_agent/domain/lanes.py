"""Which of the agent's tick lanes carries a symbol."""

from hashlib import blake2b

TICK_LANES = 4


def lane_of(server: str, symbol: str) -> int:
    """1 to 4; the same in every process and at every start."""
    digest = blake2b(f"{server}\0{symbol}".encode(), digest_size=8).digest()
    return 1 + int.from_bytes(digest, "big") % TICK_LANES
