"""`suho deals`: trades that no signal stands for."""

from typing import Annotated, Any

import typer
from suho.common.v1 import page_pb2
from suho.trading.v1 import order_pb2, trading_pb2

from cli.connection import DEFAULT_STATE, TIMEOUT_S, JsonOption, StateOption, run
from cli.order_words import account_facts, account_name, side_name
from cli.output import print_json, print_table, server_time, to_dict
from cli.trading import resolve_account, trading


def deals(
    account: Annotated[str, typer.Argument(metavar="[LOGIN[@SERVER]]", help="Of this account; none: of all.")] = "",
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="How many, newest first.")] = 50,
    state: StateOption = DEFAULT_STATE,
    as_json: JsonOption = False,
) -> None:
    """Trades that nobody asked for here, newest first: stops that were met, stop-outs, by hand, by the agent."""

    async def ask() -> trading_pb2.ListExternalDealsResponse:
        async with trading(state) as stub:
            request = trading_pb2.ListExternalDealsRequest(page=page_pb2.PageRequest(size=limit))
            if account:
                request.account.CopyFrom(await resolve_account(stub, account))
            return await stub.ListExternalDeals(request, timeout=TIMEOUT_S)

    answer = run(ask)
    if as_json:
        print_json({"deals": [_facts(one) for one in answer.deals], "more": bool(answer.page.next_token)})
        return
    # The time is the trade server's own, which bears no zone.
    columns = "SERVER-TIME ACCOUNT DEAL CAUSE SYMBOL SIDE VOLUME PRICE POSITION ORDER PROFIT COMMISSION SWAP SIGNAL"
    print_table(columns.split(), [_row(one) for one in answer.deals], "no deals: every trade was asked for here")


def _facts(one: trading_pb2.AccountDeal) -> dict[str, Any]:
    return {
        "account": account_facts(one.account),
        **to_dict(one.deal),
        "side": side_name(one.deal.side),
        "cause": _cause(one.deal),
    }


def _row(one: trading_pb2.AccountDeal) -> tuple[object, ...]:
    deal = one.deal
    return (
        server_time(deal.time_unix_ms),
        account_name(one.account),
        deal.deal,
        _cause(deal),
        deal.symbol,
        side_name(deal.side),
        deal.volume,
        deal.price,
        deal.position or "-",
        deal.order or "-",
        deal.profit or "-",
        deal.commission or "-",
        deal.swap or "-",
        deal.signal_id or "(foreign)",
    )


def _cause(deal: order_pb2.ExternalDeal) -> str:
    return order_pb2.DealCause.Name(deal.cause).removeprefix("DEAL_CAUSE_").lower().replace("_", "-")
