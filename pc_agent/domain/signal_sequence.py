"""The order of an account's signals: contiguous in an epoch, whatever arrives."""

from collections.abc import Iterable
from dataclasses import dataclass

from pc_agent.domain.orders import MAX_SIGNALS, Account, Signal

# Signals beyond a gap that are kept until it closes; more are asked for again.
_MOST_EARLY = 10 * MAX_SIGNALS


class SignalBreachError(ValueError):
    """The engine broke the contract; nothing of the batch may be taken."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """What a batch brings: signals `due` now in order, ones that came `again`, and the places that are missing."""

    due: tuple[Signal, ...]
    again: tuple[Signal, ...]
    missing: tuple[int, int] | None


class SignalSequence:
    """Where an account's sequence stands."""

    def __init__(self, account: Account, epoch: int, last_seq: int) -> None:
        self.account = account
        self.epoch = epoch
        self.last_seq = last_seq
        self._early: dict[int, Signal] = {}

    def join(self, epoch: int) -> None:
        """The epoch in force; a newer one begins at 0.

        Raises:
            SignalBreachError: an engine that was superseded speaks.
        """
        if epoch < self.epoch:
            raise SignalBreachError(f"epoch {epoch} was superseded by {self.epoch}")
        if epoch > self.epoch:
            self.epoch, self.last_seq = epoch, 0
        self._early.clear()

    def arrange(self, signals: Iterable[Signal]) -> Arrival:
        """Put a batch in its place.

        Raises:
            SignalBreachError: too many, another account's, or of another epoch.
        """
        batch = list(signals)
        self._refuse(batch)
        again = [signal for signal in batch if signal.seq <= self.last_seq]
        self._early.update({signal.seq: signal for signal in batch if signal.seq > self.last_seq})
        due = []
        while (signal := self._early.pop(self.last_seq + 1, None)) is not None:
            due.append(signal)
            self.last_seq += 1
        for seq in sorted(self._early)[_MOST_EARLY:]:
            del self._early[seq]
        missing = (self.last_seq + 1, min(self._early) - 1) if self._early else None
        return Arrival(tuple(due), tuple(again), missing)

    def _refuse(self, batch: list[Signal]) -> None:
        if len(batch) > MAX_SIGNALS:
            raise SignalBreachError(f"{len(batch)} signals in one message: at most {MAX_SIGNALS} are allowed")
        for signal in batch:
            name = f"signal {signal.signal_id!r}"
            if signal.account != self.account:
                theirs = f"{signal.account.login} at {signal.account.server}"
                raise SignalBreachError(f"{name} is for account {theirs}, which is not this agent's")
            if signal.epoch != self.epoch:
                raise SignalBreachError(f"{name} has epoch {signal.epoch}, joined was {self.epoch}")
            if signal.seq < 1:
                raise SignalBreachError(f"{name} has no place in the sequence: seq is {signal.seq}")
