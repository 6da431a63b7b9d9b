"""`suho orders`: what was asked for, what became of it, how long each part took; removing and changing what waits."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from suho.common.v1 import page_pb2
from suho.trading.v1 import order_pb2, trading_pb2

from cli.connection import DEFAULT_STATE, TIMEOUT_S, JsonOption, StateOption, run
from cli.order_words import account_name, asked, kind_name, order_facts, side_name, state_name, way
from cli.output import fail, print_json, print_table, to_dict, utc
from cli.signal_options import refuse_bad_numbers
from cli.signal_send import (
    AccountOption,
    ExpiresOption,
    IdOption,
    StopLossOption,
    TakeProfitOption,
    WaitOption,
    made_id,
)
from cli.trading import Stub, resolve_account, sending, tell, trading

app = typer.Typer(invoke_without_command=True, help="Orders, newest first; or one of them.")

TargetArgument = Annotated[str, typer.Argument(metavar="TICKET|ID", help="The broker's ticket, or the signal's id.")]
_NONE = "none"


@app.callback()
def orders(
    context: typer.Context,
    state: StateOption = DEFAULT_STATE,
    as_json: JsonOption = False,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="How many, newest first.")] = 50,
) -> None:
    """Orders, newest first."""
    if context.invoked_subcommand is not None:
        return

    async def ask() -> trading_pb2.ListOrdersResponse:
        async with trading(state) as stub:
            request = trading_pb2.ListOrdersRequest(page=page_pb2.PageRequest(size=limit))
            return await stub.ListOrders(request, timeout=TIMEOUT_S)

    answer = run(ask)
    if as_json:
        print_json({"orders": [order_facts(order) for order in answer.orders], "more": bool(answer.page.next_token)})
        return
    columns = "TIME SIGNAL ACCOUNT KIND SYMBOL SIDE VOLUME AT STATE TICKET FILLED PRICE STRATEGY AGENT REASON"
    print_table(columns.split(), [_row(order) for order in answer.orders], "no orders")


def _row(order: order_pb2.Order) -> tuple[object, ...]:
    return (
        utc(order.times.submitted_unix_ns // 1_000_000),
        order.signal_id,
        account_name(order.account),
        kind_name(order.kind),
        order.symbol,
        side_name(order.side) or "-",
        order.volume or "-",
        order.price or order.position or order.order_ticket or "-",
        state_name(order.state),
        order.ticket or "-",
        order.filled_volume if order.filled_price else "-",
        order.filled_price or "-",
        order.strategy or "-",
        order.agent or "-",
        order.reason or "-",
    )


@app.command()
def show(
    signal_id: Annotated[str, typer.Argument(metavar="ID", help="The signal's id.")],
    state: StateOption = DEFAULT_STATE,
    as_json: JsonOption = False,
) -> None:
    """One order: its whole way with the time of each part, and what happened to it."""

    async def ask() -> trading_pb2.GetOrderResponse:
        async with trading(state) as stub:
            return await stub.GetOrder(trading_pb2.GetOrderRequest(signal_id=signal_id), timeout=TIMEOUT_S)

    answer = run(ask)
    if as_json:
        print_json(_shown_facts(answer))
        return
    order = answer.order
    print(f"{order.signal_id}: {state_name(order.state)}")
    print(f"  {asked(order)} on {account_name(order.account)}{f', at agent {order.agent}' if order.agent else ''}")
    if order.filled_price:
        print(f"  ticket {order.ticket}, deal {order.deal}: {order.filled_volume} at {order.filled_price}")
    if order.reason or order.message:
        print(f"  {order.reason}: {order.message}")
    print()
    rows = [(step.name, _moment(step.at_unix_ns), "-" if step.took_ms is None else f"{step.took_ms:.3f}")
            for step in way(order)]  # fmt: skip
    print_table(("STEP", "AT", "MS"), rows, "")
    offset = order.times.clock_offset_ns
    print(
        f"the PC's clock was {abs(offset) / 1e6:.3f} ms {'behind' if offset >= 0 else 'ahead'}; it is set right here\n"
    )
    changes = [
        (_moment(event.at_unix_ns), state_name(event.state_before) if event.state_before else "-",
         state_name(event.state_after), event.reason or "-", event.message or "-")
        for event in answer.events
    ]  # fmt: skip
    print_table(("AT", "FROM", "TO", "REASON", "MESSAGE"), changes, "")


@app.command()
def cancel(
    target: TargetArgument,
    account: AccountOption = "",
    signal_id: IdOption = None,
    wait: WaitOption = 30.0,
    state: StateOption = DEFAULT_STATE,
    as_json: JsonOption = False,
) -> None:
    """Remove a pending order from the broker."""
    request = trading_pb2.SubmitSignalRequest(signal_id=made_id(signal_id), kind=order_pb2.ORDER_KIND_CANCEL_ORDER)
    order, duplicate = run(lambda: _about_ticket(state, account, target, request, wait, as_json, _cancelled))
    tell(order, duplicate, wait, as_json)


@app.command()
def modify(
    target: TargetArgument,
    price: Annotated[str, typer.Option(help="Where a pending order waits.")] = "",
    limit_price: Annotated[str, typer.Option(help="Of a stop-limit: where its limit stands.")] = "",
    sl: StopLossOption = "",
    tp: TakeProfitOption = "",
    expires: ExpiresOption = None,
    account: AccountOption = "",
    signal_id: IdOption = None,
    wait: WaitOption = 30.0,
    state: StateOption = DEFAULT_STATE,
    as_json: JsonOption = False,
) -> None:
    """Change a pending order, or the stops of a position; what is not named stays, `none` takes a stop away."""
    if not (price or limit_price or sl or tp or expires):
        raise typer.BadParameter("nothing is to be changed: say --price, --limit-price, --sl, --tp or --expires")
    stop_loss, take_profit = ("" if stop == _NONE else stop for stop in (sl, tp))
    refuse_bad_numbers(
        trading_pb2.SubmitSignalRequest(
            price=price, limit_price=limit_price, stop_loss=stop_loss, take_profit=take_profit
        )
    )

    def changed(request: trading_pb2.SubmitSignalRequest, held: trading_pb2.AccountPositions, ticket: int) -> None:
        request.stop_loss, request.take_profit = sl, tp
        request.price, request.limit_price, request.expires_unix_ms = price, limit_price, expires or 0
        _keep_the_rest(request, held, ticket)

    request = trading_pb2.SubmitSignalRequest(signal_id=made_id(signal_id))
    order, duplicate = run(lambda: _about_ticket(state, account, target, request, wait, as_json, changed))
    tell(order, duplicate, wait, as_json)


_Fill = Callable[[trading_pb2.SubmitSignalRequest, trading_pb2.AccountPositions, int], None]


def _cancelled(request: trading_pb2.SubmitSignalRequest, held: trading_pb2.AccountPositions, ticket: int) -> None:
    request.order_ticket = ticket


def _keep_the_rest(request: trading_pb2.SubmitSignalRequest, held: trading_pb2.AccountPositions, ticket: int) -> None:
    order = next((order for order in held.snapshot.orders if order.ticket == ticket), None)
    position = next((item for item in held.snapshot.positions if item.ticket == ticket), None)
    if order is not None:
        request.kind, request.order_ticket = order_pb2.ORDER_KIND_MODIFY_ORDER, ticket
        request.price = request.price or order.price
        request.limit_price = request.limit_price or order.limit_price
        request.expires_unix_ms = request.expires_unix_ms or order.expires_unix_ms
    elif position is not None:
        request.kind, request.position = order_pb2.ORDER_KIND_MODIFY_POSITION, ticket
    else:
        fail(f"{ticket} is neither a pending order nor a position of {account_name(held.account)}; `suho positions`")
    known = order or position
    assert known is not None
    request.stop_loss = "" if request.stop_loss == _NONE else request.stop_loss or known.stop_loss
    request.take_profit = "" if request.take_profit == _NONE else request.take_profit or known.take_profit


async def _about_ticket(
    state: Path,
    account: str,
    target: str,
    request: trading_pb2.SubmitSignalRequest,
    wait_s: float,
    as_json: bool,
    fill: _Fill,
) -> tuple[order_pb2.Order, bool]:
    with sending(request.signal_id, as_json) as under_way:
        async with trading(state) as stub:
            ticket = await _ticket(stub, target, request)
            if not request.HasField("account"):
                request.account.CopyFrom(await resolve_account(stub, account))
            asked_for = trading_pb2.ListPositionsRequest(account=request.account)
            held = (await stub.ListPositions(asked_for, timeout=TIMEOUT_S)).accounts[0]
            fill(request, held, ticket)
            return await under_way.submit(stub, request, wait_s)


async def _ticket(stub: "Stub", target: str, request: trading_pb2.SubmitSignalRequest) -> int:
    """The ticket that is meant; of a signal's id its order's, which says the account too."""
    if target.isdecimal():
        return int(target)
    order = (await stub.GetOrder(trading_pb2.GetOrderRequest(signal_id=target), timeout=TIMEOUT_S)).order
    if not order.ticket:
        words = f"order {target} is {state_name(order.state)} and has no ticket at the broker"
        if order.state == order_pb2.ORDER_STATE_PENDING:
            words += f"; if it waits for a word at the PC, `suho agent confirm {target} --refuse` ends it there"
        fail(words)
    request.account.CopyFrom(order.account)
    return order.ticket


def _shown_facts(answer: trading_pb2.GetOrderResponse) -> dict[str, Any]:
    return {
        **order_facts(answer.order),
        "times": to_dict(answer.order.times),
        "way": [step._asdict() for step in way(answer.order)],
        "events": [
            {
                "at_unix_ns": event.at_unix_ns,
                "from": state_name(event.state_before) if event.state_before else None,
                "to": state_name(event.state_after),
                "reason": event.reason,
                "message": event.message,
            }
            for event in answer.events
        ],
    }


def _moment(unix_ns: int) -> str:
    """To the microsecond."""
    return f"{utc(unix_ns // 1_000_000)[:-1]}{unix_ns // 1000 % 1000:03d}Z"
