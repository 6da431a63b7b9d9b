"""Stop loss and take profit: prices at which the market closes a position."""

from dataclasses import dataclass

import numpy as np

from pc_agent.twin.domain.netting import Side
from pc_agent.twin.domain.ticks import Ticks


@dataclass(frozen=True)
class Touch:
    """The first tick that reached a stop: its place among the ticks given, and which stop."""

    index: int
    is_stop_loss: bool


def stops_are_valid(side: Side, sl: float, tp: float, bid: float, ask: float) -> bool:
    """A stop loss lies on the losing side of the price that closes the position, a take profit beyond it; 0: none."""
    closing = bid if side == 1 else ask
    for stop, direction in ((sl, -side), (tp, side)):
        if not np.isfinite(stop) or stop < 0 or (stop > 0 and (stop - closing) * direction <= 0):
            return False
    return True


def first_touch(side: Side, sl: float, tp: float, ticks: Ticks) -> Touch | None:
    """Where `ticks` first reach the stops of a position; None: nowhere."""
    closing = ticks["bid"] if side == 1 else ticks["ask"]
    lost = (closing - sl) * side <= 0 if sl else np.zeros(len(ticks), np.bool_)
    won = (closing - tp) * side >= 0 if tp else np.zeros(len(ticks), np.bool_)
    touched = np.flatnonzero(lost | won)
    if not len(touched):
        return None
    index = int(touched[0])
    return Touch(index, bool(lost[index]))
