"""An account's trading state: set, told to its agent at once, and, where that is asked for, all that is ours ended."""

import asyncio

from suho.database.v1 import order_service_pb2 as db
from suho.trading.v1 import order_pb2
from suho.trading.v1 import trading_pb2 as pb

from mesh.errors import MeshError, Reason
from services.trading_engine.database import Database
from services.trading_engine.desk import Desk
from services.trading_engine.domain.order import AccountId
from services.trading_engine.flattening import Flattening
from services.trading_engine.lanes import Lanes
from services.trading_engine.messages import account_id, account_ref, invalid, name


class TradingControl:
    """Of the accounts whose agents are here."""

    def __init__(self, database: Database, lanes: Lanes, desk: Desk, tasks: asyncio.TaskGroup) -> None:
        self._database = database
        self._lanes = lanes
        self._desk = desk
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
        lane = self._lanes.executing(account)
        if lane is None or lane.said.books is None:
            raise MeshError(
                Reason.AGENT_NOT_CONNECTED,
                f"account {account} is HALTED, but nothing was closed: no agent tells what it holds; start it and ask"
                " again, or close at the terminal",
            )
        flattening = Flattening(account, request_id, self._database, self._lanes, self._desk)
        # Whoever asked may leave, or give up waiting: what was begun is asked for to its end.
        await asyncio.shield(self._tasks.create_task(flattening.run(), name=f"flatten {account}"))
        flattening.tell(answer)


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
