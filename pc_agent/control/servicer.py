"""suho.agent.v1.AgentService: the person at the PC asks, halts, closes, adopts, allows, confirms, resolves."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, Protocol

from suho.agent.v1 import agent_pb2 as pb
from suho.agent.v1 import agent_pb2_grpc
from suho.trading.v1 import order_pb2

from mesh.errors import MeshError, Reason
from mesh.orders import Kind
from pc_agent.control.accounts import Accounts
from pc_agent.control.status import account_ref, questions
from pc_agent.domain.orders import Account, Entry, OrderState, Result
from pc_agent.orders.account_messages import safety_of
from pc_agent.orders.confirmations import Confirmations, NothingToConfirmError
from pc_agent.orders.order_messages import state_of
from pc_agent.orders.safety_file import KillSwitch

# A watcher hears of changes at most that often.
_WATCH_S = 0.5


class StatusSource(Protocol):
    """Says its part of the agent's status."""

    def fill(self, status: pb.AgentStatus) -> Awaitable[None]: ...


class AgentServicer(agent_pb2_grpc.AgentServiceServicer):
    """Speaks for all accounts of the agent."""

    def __init__(
        self,
        accounts: Accounts,
        sources: Sequence[StatusSource],
        confirmations: Confirmations,
        switch: KillSwitch,
    ) -> None:
        self._accounts = accounts
        self._sources = sources
        self._confirmations = confirmations
        self._switch = switch

    async def GetStatus(self, request: pb.GetStatusRequest, context: Any) -> pb.GetStatusResponse:
        return pb.GetStatusResponse(status=await self._status())

    async def WatchStatus(self, request: pb.WatchStatusRequest, context: Any) -> AsyncIterator[pb.WatchStatusResponse]:
        told: pb.AgentStatus | None = None
        while True:
            status = await self._status()
            if status != told:
                told = status
                yield pb.WatchStatusResponse(status=status)
            await asyncio.sleep(_WATCH_S)

    async def ListPositions(self, request: pb.ListPositionsRequest, context: Any) -> pb.ListPositionsResponse:
        """Refused only where nothing is known of any account."""
        return pb.ListPositionsResponse(
            terminals=[
                pb.TerminalPositions(account=account_ref(control.account), snapshot=control.snapshot)
                for control in self._accounts.named(None)
            ],
            silent=self._accounts.silent(),
        )

    async def ClosePositions(self, request: pb.ClosePositionsRequest, context: Any) -> pb.ClosePositionsResponse:
        if not request.request_id:
            raise MeshError(Reason.INVALID_ARGUMENT, "request_id is empty: the same id closes a position once")
        account = _account(request)
        if request.positions and len(self._accounts.named(account)) > 1:
            raise MeshError(Reason.INVALID_ARGUMENT, "positions are named, so the account must be named too")
        closed = await self._accounts.close(account, list(request.positions), request.request_id)
        return pb.ClosePositionsResponse(positions=[_closed(entry) for entry in closed])

    async def Halt(self, request: pb.HaltRequest, context: Any) -> pb.HaltResponse:
        """The switch is thrown before anything is closed, and stays thrown whatever becomes of that."""
        account = _account(request)
        controls = self._accounts.named(account) if account else list(self._accounts.known())
        self._switch.throw(account, request.reason or "halted at this PC")
        for control in controls:
            control.safety.judge()
        if not request.flatten:
            return pb.HaltResponse()
        try:
            entries = await self._accounts.flatten(account, f"halt-{uuid.uuid4()}")
        except MeshError as error:
            raise MeshError(error.reason, f"entries are stopped, but not everything was closed: {error}") from None
        removed = [entry for entry in entries if entry.signal.kind is Kind.CANCEL_ORDER]
        closed = [entry for entry in entries if entry.signal.kind is not Kind.CANCEL_ORDER]
        return pb.HaltResponse(
            positions=[_closed(entry) for entry in closed], orders=[_removed(entry) for entry in removed]
        )

    async def Resume(self, request: pb.ResumeRequest, context: Any) -> pb.ResumeResponse:
        account = _account(request)
        controls = self._accounts.named(account) if account else list(self._accounts.known())
        self._switch.lift(account)
        left = [control.safety.resume() for control in controls]
        return pb.ResumeResponse(remaining=[safety_of(stand) for stand in left if stand.halted])

    async def AllowLiveMoney(self, request: pb.AllowLiveMoneyRequest, context: Any) -> pb.AllowLiveMoneyResponse:
        account = _account(request)
        if account is None:
            raise MeshError(Reason.INVALID_ARGUMENT, "account is not set: live money is allowed for one account")
        self._accounts.named(account)[0].safety.allow_live_money(request.allowed)
        return pb.AllowLiveMoneyResponse()

    async def AdoptPosition(self, request: pb.AdoptPositionRequest, context: Any) -> pb.AdoptPositionResponse:
        controls = self._accounts.named(_account(request))
        if len(controls) != 1:
            raise MeshError(Reason.INVALID_ARGUMENT, "account is not set, and there are several: name one")
        return pb.AdoptPositionResponse(position=await controls[0].adopt(request.position))

    async def ListConfirmations(
        self, request: pb.ListConfirmationsRequest, context: Any
    ) -> pb.ListConfirmationsResponse:
        return pb.ListConfirmationsResponse(confirmations=questions(self._confirmations.waiting))

    async def Confirm(self, request: pb.ConfirmRequest, context: Any) -> pb.ConfirmResponse:
        try:
            behind = self._confirmations.answer(request.signal_id, request.confirmed)
        except NothingToConfirmError as error:
            raise MeshError(Reason.UNKNOWN_ORDER, str(error)) from None
        return pb.ConfirmResponse(behind=behind)

    async def ResolveOrder(self, request: pb.ResolveOrderRequest, context: Any) -> pb.ResolveOrderResponse:
        result = _by_hand(request)
        control = next((one for one in self._accounts.known() if one.doubts(request.signal_id)), None)
        if control is None:
            raise MeshError(Reason.NOT_IN_DOUBT, f"signal {request.signal_id!r} is not in doubt here")
        await control.resolve(request.signal_id, result)
        return pb.ResolveOrderResponse()

    async def _status(self) -> pb.AgentStatus:
        status = pb.AgentStatus()
        for source in self._sources:
            await source.fill(status)
        return status


def _account(request: Any) -> Account | None:
    """That which it names; None: all."""
    return Account(request.account.server, request.account.login) if request.HasField("account") else None


def _closed(entry: Entry) -> pb.ClosedPosition:
    result = entry.result
    return pb.ClosedPosition(
        ticket=entry.signal.position, state=state_of(entry.state), reason=result.reason, message=result.message
    )


def _removed(entry: Entry) -> pb.RemovedOrder:
    result = entry.result
    return pb.RemovedOrder(
        ticket=entry.signal.order_ticket, state=state_of(entry.state), reason=result.reason, message=result.message
    )


def _by_hand(request: pb.ResolveOrderRequest) -> Result:
    """Raises MeshError INVALID_ARGUMENT."""
    words = "a person saw in the terminal what became of it"
    if request.state == order_pb2.ORDER_STATE_NOT_EXECUTED:
        return Result(OrderState.NOT_EXECUTED, "BY_HAND", words)
    if request.state != order_pb2.ORDER_STATE_FILLED:
        raise MeshError(Reason.INVALID_ARGUMENT, "state must be FILLED or NOT_EXECUTED")
    for name, text in (("filled_volume", request.filled_volume), ("filled_price", request.filled_price)):
        if not _is_positive(text):
            raise MeshError(Reason.INVALID_ARGUMENT, f"{name} {text!r} is not a positive decimal number")
    return Result(OrderState.FILLED, "BY_HAND", words, volume=request.filled_volume, price=request.filled_price)


def _is_positive(text: str) -> bool:
    try:
        number = Decimal(text)
    except InvalidOperation:
        return False
    return number.is_finite() and number > 0
