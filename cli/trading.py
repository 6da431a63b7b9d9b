"""Asking for trades and waiting for what becomes of them: what the commands about orders and positions share."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, NoReturn, TypeAlias, TypeVar

import grpc
import typer
from suho.common.v1 import account_pb2
from suho.trading.v1 import order_pb2, trading_pb2, trading_pb2_grpc

from cli.answers import Answer, ask_each
from cli.away import NO_ANSWER, not_answered
from cli.connection import TIMEOUT_S, mesh
from cli.order_words import (
    DONE,
    EXECUTED,
    UNANSWERED,
    account_name,
    asked,
    order_facts,
    parts,
    state_name,
)
from cli.output import EXIT_REFUSED, EXIT_UNREACHABLE, NotAnsweredError, fail, print_json

T = TypeVar("T")

# As a string: only the stubs know it.
Stub: TypeAlias = "trading_pb2_grpc.TradingServiceAsyncStub"

# So long without news, a person may be what is waited for.
_HINT_AFTER_S = 2.0


@asynccontextmanager
async def trading(state: Path) -> "AsyncIterator[Stub]":
    """The engine. Raises NotAnsweredError, which says who is away."""
    async with mesh(state) as channel, _explained(state):
        yield trading_pb2_grpc.TradingServiceStub(channel)


async def ask_engine_each(state: Path, calls: Mapping[str, Awaitable[T]]) -> list[Answer[T]]:
    """Several calls of the engine at once; each that fails says who is away."""

    async def one(call: Awaitable[T]) -> T:
        async with _explained(state):
            return await call

    return await ask_each({of: one(call) for of, call in calls.items()})


@asynccontextmanager
async def _explained(state: Path) -> AsyncIterator[None]:
    try:
        yield
    except grpc.aio.AioRpcError as error:
        if error.code() not in NO_ANSWER:
            raise
        raise await not_answered(state, "trading-engine", error) from error


class Sending:
    """Signals of one command under way; `begun`: some may have been taken."""

    begun = False

    async def submit(
        self, stub: "Stub", request: trading_pb2.SubmitSignalRequest, wait_s: float
    ) -> tuple[order_pb2.Order, bool]:
        """The order once the terminal has answered, or as it stands after `wait_s`; and whether it was sent before."""
        self.begun = True
        answer = await stub.SubmitSignal(request, timeout=TIMEOUT_S)
        order = answer.order
        if order.state in UNANSWERED:
            order = await _followed(stub, order, wait_s)
        return order, answer.duplicate


@contextmanager
def sending(repeat_id: str, as_json: bool) -> Iterator[Sending]:
    """Whoever gets no answer is told the id: sent again without it, there would be a second order."""
    under_way = Sending()
    try:
        yield under_way
    except NotAnsweredError as error:
        taken = "it may have been taken all the same: `suho orders` tells" if under_way.begun else "nothing was sent"
        message = f"{error}; {taken}; {_same(repeat_id)}"
        if as_json:
            print_json({"id": repeat_id, "state": None, "maybe_taken": under_way.begun, "message": message})
        fail(message, EXIT_UNREACHABLE)


def _same(repeat_id: str) -> str:
    return f"with `--id {repeat_id}` it is the same, done once however often it is sent"


async def resolve_account(stub: "Stub", account: str) -> account_pb2.AccountRef:
    """LOGIN, LOGIN@SERVER, or nothing where there is one account only."""
    if not account:
        return await _only_account(stub)
    login, _, server = account.partition("@")
    if not login.isdecimal() or not 0 < int(login) < 2**64:
        fail(f"account {account!r}: the login is a number", 2)
    if server:
        return account_pb2.AccountRef(server=server, login=int(login))
    known = (await stub.ListAccounts(trading_pb2.ListAccountsRequest(), timeout=TIMEOUT_S)).accounts
    # An account that no agent holds now is meant only where no other bears the login.
    matches = [a for a in known if a.account.login == int(login)]
    live = [a for a in matches if a.agent]
    chosen = live if len(live) == 1 else matches
    if len(chosen) != 1:
        names = ", ".join(account_name(a.account) for a in chosen or known) or "none"
        fail(f"account {login} {'is on several servers' if chosen else 'is not known'}; accounts: {names}")
    return chosen[0].account


async def _only_account(stub: "Stub") -> account_pb2.AccountRef:
    known = (await stub.ListAccounts(trading_pb2.ListAccountsRequest(), timeout=TIMEOUT_S)).accounts
    chosen = [a for a in known if a.agent] or list(known)
    if len(chosen) != 1:
        names = ", ".join(account_name(a.account) for a in chosen)
        fail(f"say with --account which one; accounts: {names}" if names else "no agent has brought an account yet")
    return chosen[0].account


async def _followed(stub: "Stub", order: order_pb2.Order, wait_s: float) -> order_pb2.Order:
    hint = asyncio.get_running_loop().call_later(_HINT_AFTER_S, _hint, order.signal_id)
    try:
        async with asyncio.timeout(wait_s):
            async for change in stub.WatchOrder(trading_pb2.WatchOrderRequest(signal_id=order.signal_id)):
                order = change.order
                if order.state not in UNANSWERED:
                    break
    except TimeoutError:
        pass  # the order as it stands says so
    finally:
        hint.cancel()
    return order


def _hint(signal_id: str) -> None:
    sys.stderr.write(
        f"suho: no news of {signal_id} yet; where its PC wants trades confirmed: `suho agent confirm {signal_id}` there"
        " (`suho agent confirmations` lists what waits; --valid-ms gives more time)\n"
    )


def tell(order: order_pb2.Order, duplicate: bool, wait_s: float, as_json: bool) -> None:
    """Print what became of it; ends the command with a status unless it went as asked."""
    if as_json:
        print_json(facts_of(order, duplicate))
    else:
        print_order(order, duplicate)
    end([order], wait_s)


def facts_of(order: order_pb2.Order, duplicate: bool) -> dict[str, Any]:
    return {**order_facts(order), "duplicate": duplicate, "took_ms": parts(order)}


def print_order(order: order_pb2.Order, duplicate: bool) -> None:
    again = " (sent before: nothing new was done)" if duplicate else ""
    print(f"{order.signal_id}: {state_name(order.state)}{again}")
    print(f"  {asked(order)} on {account_name(order.account)}")
    if order.state in EXECUTED:
        print(f"  ticket {order.ticket}, deal {order.deal}: {order.filled_volume} at {order.filled_price}")
    elif order.ticket:
        print(f"  ticket {order.ticket}")
    if order.reason or order.message:
        print(f"  {order.reason}: {order.message}")
    if took := parts(order):
        print("  took " + ", ".join(f"{name} {ms:g} ms" for name, ms in took.items()))


def end(orders: list[order_pb2.Order], wait_s: float, status: int = 0, repeat_id: str = "") -> None:
    """With the status of the one that went worst: nobody knows, no answer yet, refused; or with that of calls that
    failed beside them, which may be repeated under `repeat_id`."""
    doubtful = [order for order in orders if order.state == order_pb2.ORDER_STATE_UNKNOWN]
    if doubtful:
        _end_in_doubt(doubtful[0])
    if waiting := next((order for order in orders if order.state in UNANSWERED), None):
        fail(
            f"no report within {wait_s:g} s; `suho orders show {waiting.signal_id}` tells what became of it",
            EXIT_UNREACHABLE,
        )
    if status == EXIT_UNREACHABLE:
        fail(f"what was not answered may have been taken all the same: {_same(repeat_id)}", status)
    if status or any(order.state not in DONE for order in orders):
        raise typer.Exit(EXIT_REFUSED)


def _end_in_doubt(order: order_pb2.Order) -> NoReturn:
    fail(
        "it may have been executed: the agent looks for it in the terminal's books, and `suho orders` will tell;"
        f" send it again only with `--id {order.signal_id}`",
        EXIT_UNREACHABLE,
    )
