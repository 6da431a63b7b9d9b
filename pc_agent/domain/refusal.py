"""Why an order is not sent."""

from collections.abc import Callable
from typing import NamedTuple

from pc_agent.domain.orders import Signal


class Refusal(NamedTuple):
    """UPPER_SNAKE for programs, a sentence for people that says what would have been right."""

    reason: str
    message: str


Check = Callable[[Signal], Refusal | None]
