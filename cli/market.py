"""`suho market`: what the markets are like at the agents."""

from typing import Annotated

import typer
from suho.trading.v1 import order_pb2, trading_pb2

from cli.connection import DEFAULT_STATE, TIMEOUT_S, JsonOption, StateOption, run
from cli.order_words import account_facts, account_name
from cli.output import fail, print_json, print_table, to_dict, utc
from cli.signal_send import AccountOption
from cli.trading import resolve_account, trading


def market(
    symbols: Annotated[list[str] | None, typer.Argument(help="Otherwise all.")] = None,
    account: AccountOption = "",
    state: StateOption = DEFAULT_STATE,
    as_json: JsonOption = False,
) -> None:
    """Session, spread, volatility, tick rate and news of each symbol, as the agents see them."""

    async def ask() -> trading_pb2.ListMarketConditionsResponse:
        async with trading(state) as stub:
            request = trading_pb2.ListMarketConditionsRequest()
            if account:
                request.account.CopyFrom(await resolve_account(stub, account))
            return await stub.ListMarketConditions(request, timeout=TIMEOUT_S)

    found = [(item.account, list(item.conditions)) for item in run(ask).accounts]
    told = {one.symbol for _, conditions in found for one in conditions}
    if symbols:
        found = [(account, [one for one in conditions if one.symbol in symbols]) for account, conditions in found]
    if as_json:
        facts = [
            {"account": account_facts(account), "conditions": [to_dict(one) for one in conditions]}
            for account, conditions in found
        ]
        print_json({"accounts": facts})
    elif not symbols or told.intersection(symbols):
        rows = [_row(account_name(account), one) for account, conditions in found for one in conditions]
        columns = "SYMBOL ACCOUNT SESSION SPREAD MEAN VOLATILITY TICKS/S QUOTE-AGE GAP NEWS AT"
        print_table(columns.split(), rows, "no agent has told of a market yet")
    if strange := [symbol for symbol in symbols or () if symbol not in told]:
        fail(f"no agent tells of {', '.join(strange)}; told are {', '.join(sorted(told)) or 'none yet'}")


def _row(account: str, one: order_pb2.MarketConditions) -> tuple[object, ...]:
    return (
        one.symbol,
        account,
        "open" if one.session_open else "closed",
        f"{one.spread_points:g}",
        f"{one.mean_spread_points:.1f}",
        f"{one.volatility:.2e}" if one.volatility else "-",
        f"{one.ticks_per_second:.1f}",
        f"{one.quote_age_ms} ms",
        "yes" if one.gap else "-",
        one.news or "-",
        utc(one.at_unix_ms),
    )
