"""Entries that wait for the person's word (preference `trade_confirmation`)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from pc_agent.domain.orders import Signal

# The person's word; which signal it waits for all the same, empty: none.
Decided = Callable[[bool], str]


class Preferences(Protocol):
    """What the person at the PC wants."""

    @property
    def trade_confirmation(self) -> bool:
        """No entry is sent to the terminal before the person said yes to it. What makes nothing larger is not asked."""

    @property
    def auto_close_trades(self) -> bool:
        """No position of ours is held past the trading day's end."""


class NothingToConfirmError(Exception):
    """No such signal waits for a word (any more)."""


@dataclass(frozen=True, slots=True)
class Question:
    """`until_unix_ms`: when it is too late, by the PC's clock."""

    signal: Signal
    until_unix_ms: int
    decided: Decided


class Confirmations:
    """Of all accounts."""

    def __init__(self) -> None:
        self._questions: dict[str, Question] = {}

    @property
    def waiting(self) -> tuple[Question, ...]:
        """In the order in which they came."""
        return tuple(self._questions.values())

    def ask(self, question: Question) -> None:
        self._questions[question.signal.signal_id] = question

    def withdraw(self, signal_id: str) -> None:
        """It is too late, or nobody needs the answer any more."""
        self._questions.pop(signal_id, None)

    def answer(self, signal_id: str, confirmed: bool) -> str:
        """The person's word. Which earlier entry must be answered before it goes; empty: none.

        Raises:
            NothingToConfirmError
        """
        question = self._questions.pop(signal_id, None)
        if question is None:
            raise NothingToConfirmError(f"no signal {signal_id!r} waits for confirmation: it was answered, or is late")
        return question.decided(confirmed)


def sentence(signal: Signal) -> str:
    """What would be sent, for a person."""
    tickets = (signal.position, signal.opposite_position, signal.order_ticket)
    words = [
        signal.kind.replace("_", " ").lower() if signal.kind else "",
        signal.side.lower() if signal.side else "",
        f"{signal.volume} lots" if signal.volume else "",
        f"of {signal.symbol}",
        f"at {signal.price}" if signal.price else "",
        f"with limit {signal.limit_price}" if signal.limit_price else "",
        *(f"#{ticket}" for ticket in tickets if ticket),
        f"stop loss {signal.stop_loss}" if signal.stop_loss else "",
        f"take profit {signal.take_profit}" if signal.take_profit else "",
    ]
    return " ".join(word for word in words if word)
