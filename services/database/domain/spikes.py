"""Prices far from their neighbours, by a robust z-score; in columns, with little state for each symbol."""

import numpy as np
import numpy.typing as npt

_WINDOW = 256
_FEWEST = 32
# So many ticks away from the old level make a new one.
_CONFIRM = 3
_NORMAL = 1.4826  # the standard deviation of normal values in their median absolute deviations
# Neighbours further apart than this say nothing about each other: a closed market, another day's history.
_APART_MS = 3_600_000

Prices = npt.NDArray[np.float64]
Times = npt.NDArray[np.int64]
Places = npt.NDArray[np.int64]
_NONE: Places = np.zeros(0, np.int64)


class Spikes:
    """One symbol's recent price changes, and the level that its ticks are measured from.

    A tick is a spike when it is further from the level than `threshold` times the usual change. The level is the tick
    before; while spikes last it stays, until the price has been away for three ticks: then that is where it is.
    """

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold
        self._changes = np.zeros(0)
        self._fresh = 0
        self._scale = 0.0
        self._level = 0.0
        self._time_msc = 0
        self._away = 0

    def places(self, prices: Prices, time_msc: Times) -> Places:
        """Which of the next ticks, whose prices are above 0, are spikes."""
        if not len(prices):
            return _NONE
        if not 0 <= int(time_msc[0]) - self._time_msc <= _APART_MS:
            self._level, self._away = float(prices[0]), 0
        told = np.concatenate(((self._level,), prices))
        changes = told[1:] / told[:-1] - 1
        steps = np.diff(time_msc)
        changes[1:][(steps < 0) | (steps > _APART_MS)] = 0
        if not self._scale:  # the first ticks are judged by themselves
            self._learn(changes)
        found = self._far(told, changes)
        self._learn(changes)
        self._time_msc = int(time_msc[-1])
        return np.array(found, np.int64) if found else _NONE

    def _far(self, told: Prices, changes: Prices) -> list[int]:
        """The spikes, and where the level is behind them: a price that comes back from one is none."""
        limit = self._threshold * self._scale if self._scale else np.inf
        held, self._level, self._away = self._away, float(told[-1]), 0
        found: list[int] = []
        judged = 0
        for start in np.flatnonzero(np.abs(changes) > limit).tolist():
            if start < judged:
                continue
            level, away = float(told[start]), held if start == 0 else 0
            judged = start
            while judged < len(changes) and away < _CONFIRM and abs(told[judged + 1] / level - 1) > limit:
                found.append(judged)
                judged += 1
                away += 1
            if away < _CONFIRM:
                if judged == len(changes):
                    self._level, self._away = level, away
                judged += 1
        return found

    def _learn(self, changes: Prices) -> None:
        """Only changes that are one: most ticks move nothing, and would make any move unusual."""
        moved = changes[-_WINDOW:]
        moved = moved[(moved != 0) & np.isfinite(moved)]
        self._changes = np.concatenate((self._changes, moved))[-_WINDOW:]
        self._fresh += len(moved)
        if self._fresh >= _FEWEST:
            self._fresh = 0
            middle = np.median(self._changes)
            deviation = _NORMAL * float(np.median(np.abs(self._changes - middle)))
            self._scale = max(deviation, float(np.median(np.abs(self._changes))))
