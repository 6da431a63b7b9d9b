"""A market that moves tick by tick."""

from typing import Any

from pc_agent.twin.terminal import Terminal

# One tick a second; the spread is always ten points.
BIDS = [1.1000, 1.1010, 1.0990, 1.0950, 1.1050, 1.1000]
SPREAD = 0.0001


class Play:
    """A terminal whose market moves tick by tick."""

    def __init__(self, terminal: Terminal, hand: Any) -> None:
        self.terminal = terminal
        self.hand = hand
        hand.now_ms += 1
        terminal.pulse()

    def ticks(self, count: int) -> None:
        for _ in range(count):
            self.hand.now_ms += 1000
            self.terminal.pulse()

    def jump(self, seconds: int) -> None:
        self.hand.now_ms += seconds * 1000
        self.terminal.pulse()
