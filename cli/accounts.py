"""`suho accounts`: who executes for which account, and in what state it is; leaving an epoch."""

from typing import Annotated, Any

import typer
from suho.trading.v1 import order_pb2, trading_pb2, trading_pb2_grpc

from cli.connection import DEFAULT_STATE, TIMEOUT_S, JsonOption, StateOption, mesh, run
from cli.order_words import account_name
from cli.output import print_json, print_table, to_dict
from cli.trading import resolve_account

# Every signal of the account is written anew: of a million that takes minutes.
_EPOCH_TIMEOUT_S = 600.0

app = typer.Typer(invoke_without_command=True, help="Accounts, their agents and trading states.")


@app.callback()
def accounts(context: typer.Context, state: StateOption = DEFAULT_STATE, as_json: JsonOption = False) -> None:
    """Every account that an agent ever brought."""
    if context.invoked_subcommand is not None:
        return

    async def ask() -> trading_pb2.ListAccountsResponse:
        async with mesh(state) as channel:
            stub = trading_pb2_grpc.TradingServiceStub(channel)
            return await stub.ListAccounts(trading_pb2.ListAccountsRequest(), timeout=TIMEOUT_S)

    known = run(ask).accounts
    if as_json:
        print_json({"accounts": [to_dict(one) for one in known]})
        return
    columns = ("ACCOUNT", "MODE", "STATE", "WHY", "AGENT", "STANDING BY", "ENGINE", "OPEN ORDERS")
    print_table(columns, [_row(one) for one in known], "no agent has brought an account yet")


@app.command("new-epoch")
def new_epoch(
    account: Annotated[str, typer.Argument(metavar="LOGIN[@SERVER]", help="The account.")],
    state: StateOption = DEFAULT_STATE,
    as_json: JsonOption = False,
) -> None:
    """Let agents join again after the database was restored from an older copy.

    What the copy does not know stays unknown to the engine: `suho positions` lists how it differs from the terminal.
    """

    async def begin() -> dict[str, Any]:
        async with mesh(state) as channel:
            stub = trading_pb2_grpc.TradingServiceStub(channel)
            ref = await resolve_account(stub, account)
            known = (await stub.ListAccounts(trading_pb2.ListAccountsRequest(), timeout=TIMEOUT_S)).accounts
            left = next((one.epoch for one in known if one.account == ref), 1)
            request = trading_pb2.BeginEpochRequest(account=ref, left_epoch=left)
            begun = await stub.BeginEpoch(request, timeout=_EPOCH_TIMEOUT_S)
            return {"account": account_name(ref), "left_epoch": left, "epoch": begun.epoch}

    done = run(begin)
    if as_json:
        print_json(done)
    else:
        print(f"{done['account']} counts in epoch {done['epoch']}, no longer in {done['left_epoch']}")


def _row(one: trading_pb2.AccountStatus) -> tuple[object, ...]:
    return (
        account_name(one.account),
        order_pb2.TradeMode.Name(one.trade_mode).removeprefix("TRADE_MODE_").lower(),
        order_pb2.TradingState.Name(one.trading_state).removeprefix("TRADING_STATE_"),
        _why(one) or "-",
        one.agent or "(none)",
        ", ".join(one.standing_by) or "-",
        one.engine or "-",
        one.open_orders,
    )


def _why(one: trading_pb2.AccountStatus) -> str:
    """Who stops entries, and why: the engine's state, the agent, or both."""
    by_engine = one.trading_state != order_pb2.TRADING_STATE_ACTIVE
    said = [f"engine: {one.state_reason or 'no reason given'}"] if by_engine else []
    if one.safety.halted:
        said.append(f"agent: {one.safety.reason}, {one.safety.message}")
    return "; ".join(said)
