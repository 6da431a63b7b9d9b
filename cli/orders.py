"""`suho signal send` and `suho orders`: a person's own trading."""

import asyncio
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import grpc
import typer
from suho.common.v1 import account_pb2, page_pb2
from suho.trading.v1 import order_pb2, trading_pb2, trading_pb2_grpc

from cli.connection import DEFAULT_STATE, TIMEOUT_S, JsonOption, StateOption, mesh, run
from cli.output import EXIT_REFUSED, EXIT_UNREACHABLE, fail, print_json, print_table, utc
from mesh.errors import MeshError

app = typer.Typer(no_args_is_help=True, help="Ask for a trade.")

_SIDES = {"buy": order_pb2.ORDER_SIDE_BUY, "sell": order_pb2.ORDER_SIDE_SELL}
_EXECUTED = (order_pb2.ORDER_STATE_FILLED, order_pb2.ORDER_STATE_PARTIALLY_FILLED)
# Not the last word yet. UNKNOWN may have been executed: the agent looks it up in the terminal's books.
_OPEN = (order_pb2.ORDER_STATE_PENDING, order_pb2.ORDER_STATE_ACCEPTED, order_pb2.ORDER_STATE_UNKNOWN)
# Whether the call did what it was asked, these do not say.
_NO_ANSWER = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNKNOWN,
)


@app.command()
def send(
    account: Annotated[str, typer.Option(help="LOGIN, or LOGIN@SERVER where a login is on several servers.")],
    symbol: Annotated[str, typer.Option(help="As the terminal names it.")],
    side: Annotated[str, typer.Option(help="buy or sell.")],
    volume: Annotated[str, typer.Option(help="Lots, e.g. 0.10.")],
    sl: Annotated[str, typer.Option(help="Stop loss, a price.")] = "",
    tp: Annotated[str, typer.Option(help="Take profit, a price.")] = "",
    signal_id: Annotated[
        str | None, typer.Option("--id", help="The same id is the same order, however often it is sent.")
    ] = None,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for the report.")] = 30.0,
    state: StateOption = DEFAULT_STATE,
    as_json: JsonOption = False,
) -> None:
    """Send a signal, wait for its execution report and print it."""
    if side.lower() not in _SIDES:
        raise typer.BadParameter(f"{side!r} is neither buy nor sell", param_hint="--side")
    if signal_id == "":  # a script's unset variable: made up here, it would not protect from a second order
        raise typer.BadParameter("it is empty; give an id, or leave --id out", param_hint="--id")
    request = trading_pb2.SubmitSignalRequest(
        signal_id=signal_id or str(uuid.uuid4()),
        kind=order_pb2.ORDER_KIND_MARKET,
        symbol=symbol,
        side=_SIDES[side.lower()],
        volume=volume,
        stop_loss=sl,
        take_profit=tp,
    )
    order, duplicate = run(lambda: _send(state, account, request, wait))
    facts = {**order_facts(order), "duplicate": duplicate, "took_ms": _parts(order)}
    if as_json:
        print_json(facts)
    else:
        _print_report(order, duplicate)
    if order.state == order_pb2.ORDER_STATE_UNKNOWN:
        fail(
            "it may have been executed: the agent looks for it in the terminal's books, and `suho orders` will tell;"
            f" send it again only with `--id {order.signal_id}`",
            EXIT_UNREACHABLE,
        )
    if order.state in _OPEN:
        fail(f"no report within {wait:g} s; `suho orders` tells what became of it", EXIT_UNREACHABLE)
    if order.state not in _EXECUTED:
        raise typer.Exit(EXIT_REFUSED)


async def _send(
    state: Path, account: str, request: trading_pb2.SubmitSignalRequest, wait_s: float
) -> tuple[order_pb2.Order, bool]:
    async with mesh(state) as channel:
        stub = trading_pb2_grpc.TradingServiceStub(channel)
        request.account.CopyFrom(await _resolve(stub, account))
        with _named_when_lost(request.signal_id):
            answer = await stub.SubmitSignal(request, timeout=TIMEOUT_S)
            order = answer.order
            if order.state in _OPEN:
                order = await _followed(stub, order, wait_s)
        return order, answer.duplicate


async def _followed(
    stub: "trading_pb2_grpc.TradingServiceAsyncStub", order: order_pb2.Order, wait_s: float
) -> order_pb2.Order:
    try:
        async with asyncio.timeout(wait_s):
            async for change in stub.WatchOrder(trading_pb2.WatchOrderRequest(signal_id=order.signal_id)):
                order = change.order
                if order.state not in _OPEN:
                    break
    except TimeoutError:
        pass  # the order as it stands says so
    return order


@contextmanager
def _named_when_lost(signal_id: str) -> Iterator[None]:
    """Whoever gets no answer is told the id: sent again without it, the signal would be a second order."""
    try:
        yield
    except grpc.aio.AioRpcError as error:
        if error.code() not in _NO_ANSWER:
            raise
        fail(
            f"{MeshError.of(error).message}; it may have become an order all the same: `suho orders` tells,"
            f" and with `--id {signal_id}` it is sent again as the same one",
            EXIT_UNREACHABLE,
        )


async def _resolve(stub: "trading_pb2_grpc.TradingServiceAsyncStub", account: str) -> account_pb2.AccountRef:
    login, _, server = account.partition("@")
    if not login.isdecimal() or not 0 < int(login) < 2**64:
        fail(f"--account {account!r}: the login is a number", 2)
    if server:
        return account_pb2.AccountRef(server=server, login=int(login))
    known = (await stub.ListAccounts(trading_pb2.ListAccountsRequest(), timeout=TIMEOUT_S)).accounts
    # An account that no agent holds now is meant only where no other bears the login.
    matches = [a for a in known if a.account.login == int(login)]
    live = [a for a in matches if a.agent]
    chosen = live if len(live) == 1 else matches
    if len(chosen) != 1:
        names = ", ".join(f"{a.account.login}@{a.account.server}" for a in chosen or known) or "none"
        fail(f"--account {login} {'is on several servers' if chosen else 'is not known'}; accounts: {names}")
    return chosen[0].account


def orders(
    state: StateOption = DEFAULT_STATE,
    as_json: JsonOption = False,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="How many, newest first.")] = 50,
) -> None:
    """Orders, newest first."""

    async def ask() -> trading_pb2.ListOrdersResponse:
        async with mesh(state) as channel:
            stub = trading_pb2_grpc.TradingServiceStub(channel)
            request = trading_pb2.ListOrdersRequest(page=page_pb2.PageRequest(size=limit))
            return await stub.ListOrders(request, timeout=TIMEOUT_S)

    answer = run(ask)
    if as_json:
        print_json({"orders": [order_facts(order) for order in answer.orders], "more": bool(answer.page.next_token)})
        return
    rows = [
        (
            utc(order.times.submitted_unix_ns // 1_000_000),
            order.signal_id,
            f"{order.account.login}@{order.account.server}",
            order.symbol,
            _side(order),
            order.volume,
            state_name(order.state),
            order.ticket or "-",
            order.filled_price or "-",
            order.strategy or "-",
            order.reason,
        )
        for order in answer.orders
    ]
    columns = "TIME SIGNAL ACCOUNT SYMBOL SIDE VOLUME STATE TICKET PRICE STRATEGY REASON"
    print_table(columns.split(), rows, "no orders")


def order_facts(order: order_pb2.Order) -> dict[str, Any]:
    return {
        "signal_id": order.signal_id,
        "account": {"server": order.account.server, "login": order.account.login},
        "symbol": order.symbol,
        "side": _side(order),
        "volume": order.volume,
        "stop_loss": order.stop_loss,
        "take_profit": order.take_profit,
        "strategy": order.strategy,
        "state": state_name(order.state),
        "reason": order.reason,
        "message": order.message,
        "seq": order.seq,
        "ticket": order.ticket,
        "deal": order.deal,
        "filled_volume": order.filled_volume,
        "filled_price": order.filled_price,
        "retcode": order.retcode,
        "submitted_unix_ns": order.times.submitted_unix_ns,
    }


def state_name(state: "order_pb2.OrderState.ValueType") -> str:
    return order_pb2.OrderState.Name(state).removeprefix("ORDER_STATE_")


def _side(order: order_pb2.Order) -> str:
    return order_pb2.OrderSide.Name(order.side).removeprefix("ORDER_SIDE_").lower()


def _parts(order: order_pb2.Order) -> dict[str, float]:
    """Milliseconds each part took; parts that did not happen are left out."""
    times = order.times
    marks = {
        "decide_and_commit": (times.submitted_unix_ns, times.committed_unix_ns),
        "to_the_agent": (times.committed_unix_ns, times.received_unix_ns),
        "ledger": (times.received_unix_ns, times.intent_unix_ns),
        "to_the_terminal": (times.intent_unix_ns, times.called_unix_ns),
        "order_send": (times.called_unix_ns, times.answered_unix_ns),
        "report": (times.answered_unix_ns, times.recorded_unix_ns),
    }
    return {name: round((end - start) / 1e6, 3) for name, (start, end) in marks.items() if start and end}


def _print_report(order: order_pb2.Order, duplicate: bool) -> None:
    again = " (sent before: nothing new was done)" if duplicate else ""
    print(f"{order.signal_id}: {state_name(order.state)}{again}")
    print(f"  {_side(order)} {order.volume} {order.symbol} on {order.account.login}@{order.account.server}")
    if order.state in _EXECUTED:
        print(f"  ticket {order.ticket}, deal {order.deal}: {order.filled_volume} at {order.filled_price}")
    if order.reason or order.message:
        print(f"  {order.reason}: {order.message}")
    parts = _parts(order)
    if parts:
        print("  took " + ", ".join(f"{name.replace('_', ' ')} {ms:g} ms" for name, ms in parts.items()))
