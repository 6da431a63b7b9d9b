"""Where intents become orders: decided on one view of the account, and committed only if that still holds.

The engine that has the account's lane decides: it knows what the agent says, and hands the signal down by itself.
"""

from typing import NamedTuple, Protocol

from suho.database.v1 import order_service_pb2 as db
from suho.trading.v1 import order_pb2
from suho.trading.v1 import trading_pb2 as pb

from mesh.clock import unix_ms
from mesh.errors import MeshError, Reason
from mesh.failpoint import failpoint
from mesh.log import get_logger
from services.trading_engine.database import Database
from services.trading_engine.domain.completion import UnknownTicketError, asks_the_same, completed, is_whole
from services.trading_engine.domain.order import Intent
from services.trading_engine.domain.risk import decide
from services.trading_engine.lanes import Lane, Lanes
from services.trading_engine.messages import intent_of_order, order_of, view_of
from services.trading_engine.standings import Standing, Standings

log = get_logger(__name__)

# Reports and other engines move an account too; so often in a row they hardly can.
_TRIES = 20


class Committed(NamedTuple):
    """An order as it stands, and whether an earlier request made it."""

    order: order_pb2.Order
    duplicate: bool


class Elsewhere(Protocol):
    """The other engines."""

    async def submit(self, engine: str, order: order_pb2.Order) -> pb.SubmitSignalResponse:
        """Raises MeshError as that engine does; ENGINE_AWAY when it does not answer."""


class Desk:
    """One way for people's intents and strategies'. `engine` is this one's name."""

    def __init__(
        self, engine: str, database: Database, lanes: Lanes, standings: Standings, elsewhere: Elsewhere
    ) -> None:
        self._engine = engine
        self._database = database
        self._lanes = lanes
        self._standings = standings
        self._elsewhere = elsewhere

    async def submit(self, intent: Intent) -> Committed:
        """Decide and commit, at the engine that has the account's agent; a denied order is stored with its reason.

        Safe to repeat.

        Raises:
            MeshError: UNKNOWN_ACCOUNT, SIGNAL_ID_REUSED, ENGINE_AWAY, UNKNOWN_TICKET; ACCOUNT_MOVED when it never stood
                still.
        """
        standing = self._standings.of(intent.account)
        async with standing.turn():
            if self._lanes.executing(intent.account):
                return await self._submit(intent, standing)
            account = await self._database.account(intent.account)
            if account.engine in ("", self._engine):
                standing.learn(account)
                return await self._submit(intent, standing)
        # Not in its turn: while the agent moves, two engines may each hold the account's and wait for the other's.
        answer = await self._elsewhere.submit(account.engine, order_of(intent, None))
        return Committed(answer.order, answer.duplicate)

    async def submit_here(self, order: order_pb2.Order) -> Committed:
        """What another engine passed on, because the account's agent was here."""
        intent = intent_of_order(order)
        standing = self._standings.of(intent.account)
        async with standing.turn():
            if self._lanes.executing(intent.account) is None:
                raise MeshError(
                    Reason.ENGINE_AWAY, f"the agent of account {intent.account} has just left {self._engine}; try again"
                )
            return await self._submit(intent, standing)

    async def _submit(self, intent: Intent, standing: Standing) -> Committed:
        if not is_whole(intent):
            known = await self._known(intent)
            if known is not None:
                return known
            intent = self._completed(intent)
        for _ in range(_TRIES):
            account = await standing.account(self._database.account, intent.account)
            try:
                return await self._decide_and_commit(intent, account, standing)
            except MeshError as error:
                if error.reason is not Reason.ACCOUNT_MOVED:
                    raise
                standing.forget()
        raise MeshError(
            Reason.ACCOUNT_MOVED,
            f"account {intent.account} moved {_TRIES} times while {intent.signal_id!r} was decided; send it again",
        )

    async def _known(self, intent: Intent) -> Committed | None:
        """What an earlier request made of it: its position may be gone, or smaller, since."""
        try:
            order = await self._database.order(intent.signal_id)
        except MeshError as error:
            if error.reason is Reason.UNKNOWN_ORDER:
                return None
            raise
        if asks_the_same(intent, intent_of_order(order)):
            return Committed(order, True)
        raise MeshError(
            Reason.SIGNAL_ID_REUSED,
            f"signal id {intent.signal_id!r} was used for another order; repeat a request unchanged, or make a new id",
        )

    def _completed(self, intent: Intent) -> Intent:
        lane = self._lanes.executing(intent.account)
        if lane is None or lane.said.books is None:
            raise MeshError(
                Reason.AGENT_NOT_CONNECTED,
                f"no agent of account {intent.account} tells what it holds: start it, or give symbol, side and volume",
            )
        try:
            return completed(intent, lane.said.books)
        except UnknownTicketError as error:
            raise MeshError(Reason.UNKNOWN_TICKET, f"{error}; `suho positions` lists what there is") from None

    async def _decide_and_commit(self, intent: Intent, account: db.Account, standing: Standing) -> Committed:
        lane = self._lanes.executing(intent.account)
        view = view_of(account, lane.said if lane else None, unix_ms())
        denial = decide(intent, view)
        ledger = lane.hello.ledger if lane and not denial else ""
        order, duplicate = await self._database.commit(order_of(intent, denial), view.revision, ledger)
        if not duplicate:
            failpoint("signal.committed")
            _hand_down(lane, order)
            standing.committed(order)
            log.info(
                "signal denied" if denial else "signal committed",
                signal_id=intent.signal_id,
                kind=str(intent.kind),
                symbol=intent.symbol,
                side=intent.side.name if intent.side else "",
                volume=str(intent.volume or ""),
                strategy=intent.strategy,
                reason=order.reason,
                seq=order.seq,
            )
        return Committed(order, duplicate)


def _hand_down(lane: Lane | None, order: order_pb2.Order) -> None:
    if lane is not None and order.seq:
        lane.offer(order)
