"""`suho signal send`: a person's own trading, in every kind."""

import uuid
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from suho.trading.v1 import order_pb2, trading_pb2

from cli.connection import DEFAULT_STATE, JsonOption, StateOption, run
from cli.moments import moment
from cli.signal_options import refuse_unfit
from cli.trading import resolve_account, sending, tell, trading

app = typer.Typer(no_args_is_help=True, help="Ask for a trade.")

SIDES = {"buy": order_pb2.ORDER_SIDE_BUY, "sell": order_pb2.ORDER_SIDE_SELL}

AccountOption = Annotated[
    str, typer.Option(help="LOGIN, or LOGIN@SERVER where a login is on several servers; may be left out with one.")
]
StopLossOption = Annotated[str, typer.Option(help="Stop loss, a price.")]
TakeProfitOption = Annotated[str, typer.Option(help="Take profit, a price.")]
WaitOption = Annotated[float, typer.Option(min=0, help="Seconds to wait for the report.")]
ExpiresOption = Annotated[
    int | None,
    typer.Option(parser=moment, metavar="MOMENT", help="When the broker drops a pending order, UTC; otherwise never."),
]
IdOption = Annotated[str | None, typer.Option("--id", help="The same id is the same order, however often it is sent.")]


class KindName(StrEnum):
    MARKET = "market"
    LIMIT = "limit"
    STOP = "stop"
    STOP_LIMIT = "stop-limit"
    CLOSE = "close"
    CLOSE_BY = "close-by"
    MODIFY_POSITION = "modify-position"
    MODIFY_ORDER = "modify-order"
    CANCEL_ORDER = "cancel-order"


@app.command()
def send(
    symbol: Annotated[str, typer.Option(help="As the mesh names it; may be left out with a ticket.")] = "",
    side: Annotated[str, typer.Option(help="buy or sell.")] = "",
    volume: Annotated[str, typer.Option(help="Lots, e.g. 0.10; of a close empty for the whole position.")] = "",
    account: AccountOption = "",
    kind: Annotated[KindName, typer.Option(help="What is asked of the terminal.")] = KindName.MARKET,
    price: Annotated[str, typer.Option(help="Where a pending order waits.")] = "",
    limit_price: Annotated[str, typer.Option(help="Of a stop-limit: where its limit stands.")] = "",
    sl: StopLossOption = "",
    tp: TakeProfitOption = "",
    position: Annotated[int, typer.Option(min=0, help="Ticket of the position.")] = 0,
    by: Annotated[int, typer.Option(min=0, help="Ticket of the opposite position, of a close-by.")] = 0,
    order: Annotated[int, typer.Option(min=0, help="Ticket of the pending order.")] = 0,
    expires: ExpiresOption = None,
    deviation: Annotated[int, typer.Option(min=0, help="How far the price may slip, in points; 0: as set.")] = 0,
    valid_ms: Annotated[int, typer.Option(min=0, help="How long it may wait to be sent; 0: as set.")] = 0,
    signal_id: IdOption = None,
    wait: WaitOption = 30.0,
    state: StateOption = DEFAULT_STATE,
    as_json: JsonOption = False,
) -> None:
    """Send a signal, wait for its execution report and print it."""
    if side and side.lower() not in SIDES:
        raise typer.BadParameter(f"{side!r} is neither buy nor sell", param_hint="--side")
    request = trading_pb2.SubmitSignalRequest(
        signal_id=made_id(signal_id),
        kind=order_pb2.OrderKind.Value(f"ORDER_KIND_{kind.name}"),
        symbol=symbol,
        side=SIDES.get(side.lower(), order_pb2.ORDER_SIDE_UNSPECIFIED),
        volume=volume,
        price=price,
        limit_price=limit_price,
        stop_loss=sl,
        take_profit=tp,
        position=position,
        opposite_position=by,
        order_ticket=order,
        expires_unix_ms=expires or 0,
        deviation_points=deviation,
        valid_for_ms=valid_ms,
    )
    refuse_unfit(request)
    answer, duplicate = run(lambda: _send(state, account, request, wait, as_json))
    tell(answer, duplicate, wait, as_json)


def made_id(given: str | None) -> str:
    """The id of the signal; a new one where none was given."""
    if given == "":  # a script's unset variable: made up here, it would not protect from a second order
        raise typer.BadParameter("it is empty; give an id, or leave --id out", param_hint="--id")
    return given or str(uuid.uuid4())


async def _send(
    state: Path, account: str, request: trading_pb2.SubmitSignalRequest, wait_s: float, as_json: bool
) -> tuple[order_pb2.Order, bool]:
    with sending(request.signal_id, as_json) as under_way:
        async with trading(state) as stub:
            request.account.CopyFrom(await resolve_account(stub, account))
            return await under_way.submit(stub, request, wait_s)
