"""Ending all that is ours on a halted account: what is open, and what entries that were under way still bring."""

import asyncio
import uuid

from suho.database.v1 import order_service_pb2 as db
from suho.trading.v1 import order_pb2
from suho.trading.v1 import trading_pb2 as pb

from mesh.clock import unix_ns
from mesh.errors import MeshError, Reason
from mesh.log import get_logger
from mesh.orders import ENTRIES, Kind
from services.trading_engine.agent_said import AgentSaid
from services.trading_engine.database import Database
from services.trading_engine.desk import Desk
from services.trading_engine.domain.completion import our_orders, ours, shows_what_counts
from services.trading_engine.domain.order import AccountId, Books, Intent
from services.trading_engine.lanes import Lanes
from services.trading_engine.messages import account_ref, kind, still_open, view_of

log = get_logger(__name__)

_NAMES = uuid.uuid5(uuid.NAMESPACE_URL, "suho:flatten")
# Nothing new comes to an account that is halted: what is under way is over by then, or in doubt. Whoever asks another
# engine waits for 7 s.
_LONGEST_S = 3.0
_LOOK_AGAIN_S = 0.1
_UNDER_WAY = (
    order_pb2.ORDER_STATE_PENDING,
    order_pb2.ORDER_STATE_ACCEPTED,
    order_pb2.ORDER_STATE_PARTIALLY_FILLED,
    order_pb2.ORDER_STATE_UNKNOWN,
    order_pb2.ORDER_STATE_PLACED,
)
_MOST_ORDERS = 1000
# However long signals live otherwise: a close that could not be sent by then is asked for again, not made in an hour.
_VALID_MS = 30_000
# Of what stays open, so much is told in words.
_TOLD = 5


class Flattening:
    """One request's."""

    def __init__(self, account: AccountId, request_id: str, database: Database, lanes: Lanes, desk: Desk) -> None:
        self._account = account
        self._names = uuid.uuid5(_NAMES, request_id)
        self._database = database
        self._lanes = lanes
        self._desk = desk
        # By what is removed or closed: the signals that do it, and why one is not.
        self._removals: dict[str, str] = {}
        self._closes: dict[str, str] = {}
        self._left: dict[str, str] = {}

    async def run(self) -> None:
        """Ask for all that is shown, and for what shows until nothing more can come; raises nothing."""
        try:
            await self._until_nothing_comes()
        except MeshError as error:
            self._left["what else is open"] = error.message
        except Exception:
            log.exception("flatten failed", account=str(self._account))
            self._left["what else is open"] = "the engine failed, its log says why"

    def tell(self, answer: pb.SetTradingStateResponse) -> None:
        """The signals.

        Raises:
            MeshError: NOT_ALL_CLOSED, with what is not.
        """
        answer.removal_ids.extend(self._removals.values())
        answer.signal_ids.extend(self._closes.values())
        if not self._left:
            return
        left = [f"{what}: {why}" for what, why in self._left.items()]
        more = f"; and {len(left) - _TOLD} more" if len(left) > _TOLD else ""
        raise MeshError(
            Reason.NOT_ALL_CLOSED,
            f"account {self._account} is HALTED, {len(self._removals)} pending order(s) are being removed and"
            f" {len(self._closes)} position(s) closed, but {len(left)} stay: {'; '.join(left[:_TOLD])}{more}."
            " Ask again when that is over, or close at the terminal",
        )

    async def _until_nothing_comes(self) -> None:
        loop, waited = asyncio.get_running_loop(), False
        await self._ask_for_all(self._said().books or Books())
        until_s = loop.time() + _LONGEST_S
        while True:
            coming = await self._coming()
            account, said = await self._database.account(self._account), self._said()
            await self._ask_for_all(said.books or Books())
            if (not coming and shows_what_counts(view_of(account, said, 0))) or loop.time() >= until_s:
                break
            waited = True
            await asyncio.sleep(_LOOK_AGAIN_S)
        if waited:
            await self._ask_again()
        if coming:
            self._left[f"{coming} order(s) under way"] = "they may still be filled"

    def _said(self) -> AgentSaid:
        lane = self._lanes.executing(self._account)
        if lane is None:
            raise MeshError(Reason.AGENT_NOT_CONNECTED, "the agent has left")
        return lane.said

    async def _coming(self) -> int:
        """How many entries may still be filled."""
        asked = db.ListOrdersRequest(account=account_ref(self._account), states=_UNDER_WAY)
        asked.page.size = _MOST_ORDERS
        found = (await self._database.orders(asked)).orders
        return sum(still_open(order) and kind(order.kind) in ENTRIES for order in found)

    async def _ask_for_all(self, books: Books) -> None:
        """Of what was not asked for yet. Pending orders first: none of them shall open what was just closed."""
        for order in our_orders(books):
            what = f"order {order.ticket}"
            if what not in self._removals | self._left:
                await self._ask(what, what, self._removals, order_ticket=order.ticket)
        for position in ours(books):
            what = f"position {position.ticket}"
            if what not in self._closes | self._left:
                await self._ask(what, str(position.ticket), self._closes, position=position.ticket)

    async def _ask_again(self) -> None:
        """What an entry made larger while it was closed, and what was denied while one was in doubt."""
        asked = self._removals | self._closes
        over = {what for what, name in asked.items() if not still_open(await self._database.order(name))}
        over |= self._left.keys()
        books = self._said().books or Books()  # read after those have ended
        for order in our_orders(books):
            if (what := f"order {order.ticket}") in over:
                await self._ask(what, f"{what} again", self._removals, order_ticket=order.ticket)
        for position in ours(books):
            if (what := f"position {position.ticket}") in over:
                await self._ask(what, f"{position.ticket} again", self._closes, position=position.ticket)

    async def _ask(self, what: str, name: str, asked: dict[str, str], position: int = 0, order_ticket: int = 0) -> None:
        """What stays is told, with why; it stops no other one."""
        intent = self._intent(str(uuid.uuid5(self._names, name)), position, order_ticket)
        self._left.pop(what, None)
        try:
            order = (await self._desk.submit(intent)).order
        except MeshError as error:
            if error.reason is not Reason.UNKNOWN_TICKET:  # that one is gone meanwhile
                self._left[what] = error.message
        except Exception:
            log.exception("not flattened", signal_id=intent.signal_id)
            self._left[what] = "the engine failed, its log says why"
        else:
            if order.state == order_pb2.ORDER_STATE_DENIED:
                self._left[what] = order.message
            else:
                asked[what] = intent.signal_id

    def _intent(self, signal_id: str, position: int, order_ticket: int) -> Intent:
        """Remove an order, or close all of a position, however much that is by then."""
        now_ns = unix_ns()
        return Intent(
            signal_id=signal_id,
            account=self._account,
            symbol="",
            side=None,
            volume=None,
            stop_loss=None,
            take_profit=None,
            strategy="",
            submitted_unix_ns=now_ns,
            not_after_unix_ms=now_ns // 1_000_000 + _VALID_MS,
            kind=Kind.CANCEL_ORDER if order_ticket else Kind.CLOSE,
            position=position,
            order_ticket=order_ticket,
        )
