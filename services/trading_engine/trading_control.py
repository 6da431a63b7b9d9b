"""An account's trading state, told to its agent at once; and ending all that is ours: positions and pending orders."""

import asyncio
import uuid
from collections.abc import Sequence

from suho.database.v1 import order_service_pb2 as db
from suho.trading.v1 import order_pb2
from suho.trading.v1 import trading_pb2 as pb

from mesh.clock import unix_ns
from mesh.errors import MeshError, Reason
from mesh.log import get_logger
from mesh.orders import Kind
from services.trading_engine.database import Database
from services.trading_engine.desk import Desk
from services.trading_engine.domain.completion import our_orders, ours
from services.trading_engine.domain.order import AccountId, Intent
from services.trading_engine.lanes import Lanes
from services.trading_engine.messages import account_id, account_ref, invalid, name

log = get_logger(__name__)

_FLATTEN = uuid.uuid5(uuid.NAMESPACE_URL, "suho:flatten")
# Of what stays open, so much is told in words.
_TOLD = 5


class TradingControl:
    """Of the accounts whose agents are here. `valid_for_ms`: how long a close that it makes may wait to be sent."""

    def __init__(
        self, database: Database, lanes: Lanes, desk: Desk, valid_for_ms: int, tasks: asyncio.TaskGroup
    ) -> None:
        self._database = database
        self._lanes = lanes
        self._desk = desk
        self._valid_for_ms = valid_for_ms
        self._tasks = tasks

    async def set_state(self, request: pb.SetTradingStateRequest) -> pb.SetTradingStateResponse:
        """Set, tell the agent, and, if that is asked for, remove the pending orders and close the positions of ours.

        Raises:
            MeshError: UNKNOWN_ACCOUNT, LIVE_MONEY_NOT_ALLOWED; AGENT_NOT_CONNECTED: the state is set, but nothing can
                be closed; NOT_ALL_CLOSED: all that can be is being closed, and the message tells what is not.
        """
        account = account_id(request.account)
        lane = self._lanes.executing(account)
        stored = await self._database.set_trading_state(
            db.SetTradingStateRequest(
                account=account_ref(account),
                trading_state=request.trading_state,
                reason=request.reason,
                allowed_on_pc=lane is not None and not lane.said.safety.halted,
            )
        )
        if lane is not None:
            lane.tell_state(stored)
        answer = pb.SetTradingStateResponse(trading_state=stored.trading_state)
        if request.flatten:
            await self._flatten(account, request.request_id, answer)
        return answer

    async def _flatten(self, account: AccountId, request_id: str, answer: pb.SetTradingStateResponse) -> None:
        """Pending orders first: none of them shall open what was just closed."""
        lane = self._lanes.executing(account)
        if lane is None or lane.said.books is None:
            raise MeshError(
                Reason.AGENT_NOT_CONNECTED,
                f"account {account} is HALTED, but nothing was closed: no agent tells what it holds; start it and ask"
                " again, or close at the terminal",
            )
        namespace = uuid.uuid5(_FLATTEN, request_id)
        removals = [
            self._intent(account, str(uuid.uuid5(namespace, f"order {order.ticket}")), order_ticket=order.ticket)
            for order in our_orders(lane.said.books)
        ]
        closes = [
            self._intent(account, str(uuid.uuid5(namespace, str(position.ticket))), position=position.ticket)
            for position in ours(lane.said.books)
        ]
        # Whoever asked may leave, or give up waiting: what was begun is asked for to its end.
        asking = self._tasks.create_task(self._ask_for_all(removals, closes), name=f"flatten {account}")
        removing, closing, left = await asyncio.shield(asking)
        answer.removal_ids.extend(removing)
        answer.signal_ids.extend(closing)
        if left:
            raise _not_all(account, answer, left)

    async def _ask_for_all(
        self, removals: Sequence[Intent], closes: Sequence[Intent]
    ) -> tuple[list[str], list[str], list[str]]:
        """Ids of removals and of closes that are under way, and in words what stays."""
        left: list[str] = []
        return await self._submitted(removals, left), await self._submitted(closes, left), left

    async def _submitted(self, intents: Sequence[Intent], left: list[str]) -> list[str]:
        """The ids of what is being closed or removed. What stays goes to `left`, with why; it stops no other one."""
        signal_ids = []
        for intent in intents:
            try:
                order = (await self._desk.submit(intent)).order
            except MeshError as error:
                if error.reason is not Reason.UNKNOWN_TICKET:  # that one is gone meanwhile
                    left.append(f"{_named(intent)}: {error.message}")
            except Exception:
                log.exception("not flattened", signal_id=intent.signal_id)
                left.append(f"{_named(intent)}: the engine failed, its log says why")
            else:
                if order.state == order_pb2.ORDER_STATE_DENIED:
                    left.append(f"{_named(intent)}: {order.message}")
                else:
                    signal_ids.append(intent.signal_id)
        return signal_ids

    def _intent(self, account: AccountId, signal_id: str, position: int = 0, order_ticket: int = 0) -> Intent:
        """Remove an order, or close all of a position, however much that is by then."""
        now_ns = unix_ns()
        return Intent(
            signal_id=signal_id,
            account=account,
            symbol="",
            side=None,
            volume=None,
            stop_loss=None,
            take_profit=None,
            strategy="",
            submitted_unix_ns=now_ns,
            not_after_unix_ms=now_ns // 1_000_000 + self._valid_for_ms,
            kind=Kind.CANCEL_ORDER if order_ticket else Kind.CLOSE,
            position=position,
            order_ticket=order_ticket,
        )


def _not_all(account: AccountId, answer: pb.SetTradingStateResponse, left: Sequence[str]) -> MeshError:
    more = f"; and {len(left) - _TOLD} more" if len(left) > _TOLD else ""
    return MeshError(
        Reason.NOT_ALL_CLOSED,
        f"account {account} is HALTED, {len(answer.removal_ids)} pending order(s) are being removed and"
        f" {len(answer.signal_ids)} position(s) closed, but {len(left)} stay: {'; '.join(left[:_TOLD])}{more}."
        " Ask again when that is over, or close at the terminal",
    )


def _named(intent: Intent) -> str:
    return f"order {intent.order_ticket}" if intent.order_ticket else f"position {intent.position}"


def checked(request: pb.SetTradingStateRequest) -> pb.SetTradingStateRequest:
    """Raises MeshError INVALID_ARGUMENT."""
    account_id(request.account)
    if not request.trading_state or request.trading_state not in order_pb2.TradingState.values():
        raise invalid(f"trading_state is {request.trading_state or 'not set'}; say ACTIVE, REDUCING or HALTED")
    if request.flatten:
        if request.trading_state != order_pb2.TRADING_STATE_HALTED:
            raise invalid("flatten is set; it goes with HALTED only, else what is closed could be opened again")
        name("request_id", request.request_id)
    return request
