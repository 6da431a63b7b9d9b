"""A netting account's arithmetic: one position a symbol, and what a deal does to it."""

from dataclasses import dataclass
from typing import Literal

Side = Literal[1, -1]  # 1 buys, -1 sells

# A terminal counts lots in steps of 10^-8; floats are rounded to that, so that 0.3 - 0.1 - 0.2 is flat.
LOT_PLACES = 8


@dataclass(frozen=True)
class Exposure:
    """What is held of one symbol: `volume` in lots, above zero, at the average `price`."""

    side: Side
    volume: float
    price: float


@dataclass(frozen=True)
class Netted:
    """A deal's effect: what is held `after` it, and the lots that it opened and closed."""

    after: Exposure | None
    opened: float
    closed: float


def net(before: Exposure | None, side: Side, volume: float, price: float) -> Netted:
    """Deal `volume` lots at `price` into `before`."""
    if before is None:
        return Netted(Exposure(side, volume, price), volume, 0.0)
    if before.side == side:
        total = round(before.volume + volume, LOT_PLACES)
        average = (before.price * before.volume + price * volume) / total
        return Netted(Exposure(side, total, average), volume, 0.0)
    closed = min(before.volume, volume)
    rest = round(before.volume - volume, LOT_PLACES)
    if rest > 0:
        return Netted(Exposure(before.side, rest, before.price), 0.0, closed)
    if rest < 0:
        return Netted(Exposure(side, -rest, price), -rest, closed)
    return Netted(None, 0.0, closed)
