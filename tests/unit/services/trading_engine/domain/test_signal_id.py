"""Ids of strategies' signals."""

from mesh.market import TickId
from services.trading_engine.domain.order import AccountId
from services.trading_engine.domain.signal_id import signal_id, strategy_namespace

ACCOUNT = AccountId("twin-7", 1000001)
TICK = TickId(1_700_000_000_123, 2)


def test_the_same_decision_has_the_same_id_in_every_process() -> None:
    """It is a function of strategy, account, symbol and tick alone; changing it would double orders over an upgrade."""
    made = signal_id(strategy_namespace("bollinger", ACCOUNT), "EURUSD", TICK, 0)
    assert made == signal_id(strategy_namespace("bollinger", AccountId("twin-7", 1000001)), "EURUSD", TICK, 0)
    assert made == "6dbc6887-0c92-5bd7-835b-95d9353cbe1d"


def test_whatever_differs_makes_another_id() -> None:
    """Strategy, server, login, symbol, millisecond, ordinal and count."""
    own = strategy_namespace("bollinger", ACCOUNT)
    ids = {
        signal_id(own, "EURUSD", TICK, 0),
        signal_id(own, "EURUSD", TICK, 1),
        signal_id(own, "GBPUSD", TICK, 0),
        signal_id(own, "EURUSD", TickId(TICK.time_msc + 1, 2), 0),
        signal_id(own, "EURUSD", TickId(TICK.time_msc, 3), 0),
        signal_id(strategy_namespace("other", ACCOUNT), "EURUSD", TICK, 0),
        signal_id(strategy_namespace("bollinger", AccountId("twin-8", 1000001)), "EURUSD", TICK, 0),
        signal_id(strategy_namespace("bollinger", AccountId("twin-7", 1000002)), "EURUSD", TICK, 0),
    }
    assert len(ids) == 8
