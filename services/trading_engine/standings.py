"""How accounts stood after their last move through this engine, and whose turn it is to move one."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary

from suho.database.v1 import order_service_pb2 as db
from suho.trading.v1 import order_pb2

from services.trading_engine.domain.order import AccountId


class Standing:
    """One account's. Whoever commits or records takes its `turn`: side by side they would make each other decide again.

    `newest`, too, is for whoever has the turn. It may be older than the account is, and a decision on it is safe: the
    commit compares revisions.
    """

    def __init__(self) -> None:
        self.newest: db.Account | None = None
        self._turn = asyncio.Lock()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Whose block fails, or is given up, may have moved the account: how it stands is not known then."""
        async with self._turn:
            try:
                yield
            except BaseException:
                self.forget()
                raise

    async def account(self, ask: Callable[[AccountId], Awaitable[db.Account]], account: AccountId) -> db.Account:
        """As it stands, as far as that is known; else `ask` tells it."""
        if self.newest is None:
            self.newest = await ask(account)
        return self.newest

    def learn(self, account: db.Account) -> None:
        """What the database has just said. Where that is older, one of the two is out of date: neither is kept."""
        known = self.newest
        self.newest = None if known and known.revision > account.revision else account

    def forget(self) -> None:
        """It moved in a way that is not known here."""
        self.newest = None

    def committed(self, order: order_pb2.Order) -> None:
        """A new order, decided on `newest`: what the database added to the account with it."""
        account = self.newest
        if account is None or not order.seq:  # a denied one moves nothing
            return
        if order.kind == order_pb2.ORDER_KIND_CLOSE:  # it counts for whoever opened the position
            self.forget()
            return
        account.revision += 1
        account.last_seq = order.seq
        account.open_orders += 1
        for exposure in account.exposures:
            if (exposure.symbol, exposure.strategy) == (order.symbol, order.strategy):
                exposure.open_orders += 1
                return
        account.exposures.add(symbol=order.symbol, strategy=order.strategy, net_volume="0", open_orders=1)


class Standings:
    """Of accounts, each for as long as somebody holds it: a lane, or a decision under way."""

    def __init__(self) -> None:
        self._standings: WeakValueDictionary[AccountId, Standing] = WeakValueDictionary()

    def of(self, account: AccountId) -> Standing:
        return self._standings.setdefault(account, Standing())
