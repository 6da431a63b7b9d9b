"""What may come between a client and its broker: latency, refusals, slippage, answers that are lost."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol

from pc_agent.twin.constants import ORDER_REASON_EXPERT
from pc_agent.twin.results import OrderSendResult, TradeRequest


@dataclass(frozen=True)
class Fate:
    """What befalls one trade request while it is executed; as it stands: nothing."""

    retcode: int = 0  # refuses the request, whatever it is; 0: it is judged by the rules
    slippage_points: float = 0.0  # how much worse than the quote it fills
    liquidity: float | None = None  # lots that can be filled at once; None: as the symbol's terms say
    reason: int = ORDER_REASON_EXPERT  # who asks for it


UNDISTURBED = Fate()


@dataclass(frozen=True)
class Happening:
    """What befalls the terminal itself."""

    offline_s: float = 0.0  # it loses its broker for so long
    correction: float | None = None  # the broker corrects a tick: its place between the oldest (0) and the newest (1)


class Interference(Protocol):
    """Asked outside the terminal's lock: each of these may take its time, and other clients do not wait for it.

    Each may raise TerminalError (the call fails with that) or ConnectionError (the client is hung up on).
    """

    @property
    def functions(self) -> Mapping[str, Callable[..., Any]]:
        """What those who started the twin may ask of it, under the terminal's lock."""

    def happenings(self) -> Sequence[Happening]:
        """What befell the terminal since this was asked last; it is asked under the terminal's lock."""

    def before_call(self, function: str) -> None:
        """Before any function that a client calls, `order_send` included."""

    def before_order(self, request: TradeRequest) -> Fate:
        """Before `order_send` executes; what it raises prevents that."""

    def after_order(self, request: TradeRequest, result: OrderSendResult) -> OrderSendResult:
        """After `order_send` has executed or refused: what the client is told; what it raises undoes nothing."""


class NoInterference:
    """A broker on its best day."""

    functions: Mapping[str, Callable[..., Any]] = MappingProxyType({})

    def happenings(self) -> Sequence[Happening]:
        return ()

    def before_call(self, function: str) -> None:
        pass

    def before_order(self, request: TradeRequest) -> Fate:
        return UNDISTURBED

    def after_order(self, request: TradeRequest, result: OrderSendResult) -> OrderSendResult:
        return result
