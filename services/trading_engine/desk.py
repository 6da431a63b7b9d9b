"""Where intents become orders: decided on one view of the account, and committed only if that still holds."""

import asyncio
from typing import NamedTuple
from weakref import WeakValueDictionary

from suho.trading.v1 import order_pb2

from mesh.clock import unix_ms
from mesh.errors import MeshError, Reason
from mesh.log import get_logger
from services.trading_engine.database import Database
from services.trading_engine.domain.order import AccountId, Intent
from services.trading_engine.domain.risk import decide
from services.trading_engine.lanes import Lanes
from services.trading_engine.messages import order_of, view_of

log = get_logger(__name__)

# Reports and other engines move an account too; so often in a row they hardly can.
_TRIES = 20


class Committed(NamedTuple):
    """An order as it stands, and whether an earlier request made it."""

    order: order_pb2.Order
    duplicate: bool


class Desk:
    """One way for people's intents and strategies'."""

    def __init__(self, database: Database, lanes: Lanes) -> None:
        self._database = database
        self._lanes = lanes
        # One decision at a time an account: in one engine they would only make each other decide again.
        self._turns: WeakValueDictionary[AccountId, asyncio.Lock] = WeakValueDictionary()

    async def submit(self, intent: Intent) -> Committed:
        """Decide and commit; a denied order is stored with its reason. Safe to repeat.

        Raises:
            MeshError: UNKNOWN_ACCOUNT, SIGNAL_ID_REUSED, ACCOUNT_MOVED when it never stood still.
        """
        async with self._turns.setdefault(intent.account, asyncio.Lock()):
            for _ in range(_TRIES):
                try:
                    return await self._decide_and_commit(intent)
                except MeshError as error:
                    if error.reason is not Reason.ACCOUNT_MOVED:
                        raise
        raise MeshError(
            Reason.ACCOUNT_MOVED,
            f"account {intent.account} moved {_TRIES} times while {intent.signal_id!r} was decided; send it again",
        )

    async def _decide_and_commit(self, intent: Intent) -> Committed:
        account = await self._database.account(intent.account)
        view = view_of(account, self._lanes.symbols(intent.account), unix_ms())
        denial = decide(intent, view)
        order, duplicate = await self._database.commit(order_of(intent, denial), view.revision)
        if not duplicate:
            log.info(
                "signal denied" if denial else "signal committed",
                signal_id=intent.signal_id,
                symbol=intent.symbol,
                side=intent.side.name,
                volume=str(intent.volume),
                strategy=intent.strategy,
                reason=order.reason,
                seq=order.seq,
            )
        return Committed(order, duplicate)
