"""How an account stood after its last move."""

import gc

from suho.database.v1 import order_service_pb2 as db
from suho.trading.v1 import order_pb2

from services.trading_engine.domain.order import AccountId
from services.trading_engine.standings import Standing, Standings

ACCOUNT = AccountId("broker", 42)


def standing(revision: int) -> Standing:
    made = Standing()
    made.learn(db.Account(revision=revision))
    return made


def test_what_is_older_than_what_is_known_makes_neither_known() -> None:
    """A database restored from an older copy, or an answer that was overtaken: it is asked again."""
    known = standing(5)
    known.learn(db.Account(revision=6))
    assert known.newest == db.Account(revision=6)
    known.learn(db.Account(revision=5))
    assert known.newest is None


def test_a_close_counts_for_whoever_opened_the_position() -> None:
    """Who that is the database knows: it is asked again."""
    known = standing(5)
    known.committed(order_pb2.Order(seq=1, kind=order_pb2.ORDER_KIND_CLOSE))
    assert known.newest is None


def test_a_denied_order_moves_nothing() -> None:
    """It takes no place."""
    known = standing(5)
    known.committed(order_pb2.Order(kind=order_pb2.ORDER_KIND_MARKET))
    assert known.newest == db.Account(revision=5)


def test_an_account_that_nobody_trades_is_forgotten() -> None:
    """Anybody may name accounts that do not exist."""
    standings = Standings()
    held = standings.of(ACCOUNT)
    assert standings.of(ACCOUNT) is held
    held.learn(db.Account(revision=1))
    del held
    gc.collect()
    assert standings.of(ACCOUNT).newest is None
