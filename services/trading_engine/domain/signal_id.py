"""The same decision bears the same id, whoever makes it and however often: a restarted engine can not double it."""

import uuid

from mesh.market import TickId
from services.trading_engine.domain.order import AccountId

_STRATEGIES = uuid.uuid5(uuid.NAMESPACE_URL, "suho:strategy")


def strategy_namespace(strategy: str, account: AccountId) -> uuid.UUID:
    """Of one strategy instance: a strategy on an account."""
    return uuid.uuid5(_STRATEGIES, f"{strategy}:{account.server}:{account.login}")


def signal_id(namespace: uuid.UUID, symbol: str, tick: TickId, n: int) -> str:
    """Of the `n`-th intent that this tick gave rise to."""
    return str(uuid.uuid5(namespace, f"{symbol}:{tick.time_msc}:{tick.ordinal}:{n}"))
