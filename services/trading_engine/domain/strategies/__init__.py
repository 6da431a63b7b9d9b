"""The strategies there are, by the name under which they are switched on."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from services.trading_engine.domain.strategies.bollinger import Bollinger
from services.trading_engine.domain.strategies.strategy import Decision, Readings, Strategy

STRATEGIES: Mapping[str, Callable[[], Strategy]] = MappingProxyType({"bollinger": Bollinger})

__all__ = ["STRATEGIES", "Decision", "Readings", "Strategy"]
