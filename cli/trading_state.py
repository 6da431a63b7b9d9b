"""`suho halt`, `suho resume`: no entries any more, and again; from the server side."""

import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from suho.common.v1 import account_pb2
from suho.trading.v1 import order_pb2, trading_pb2

from cli.answers import Answer, failures, tell_failures
from cli.connection import DEFAULT_STATE, TIMEOUT_S, JsonOption, StateOption, run
from cli.drains import who
from cli.order_words import account_facts, account_name, barred, trading_state_name
from cli.output import fail, print_json
from cli.signal_send import AccountOption
from cli.trading import Stub, ask_engine_each, end, resolve_account, trading

Answered = tuple[account_pb2.AccountRef, trading_pb2.SetTradingStateResponse]
ReasonOption = Annotated[str, typer.Option(help="For those who look later; otherwise your name.")]


def halt(
    account: Annotated[str, typer.Option(help="LOGIN or LOGIN@SERVER; otherwise every account.")] = "",
    flatten: Annotated[
        bool, typer.Option("--flatten", help="Remove every pending order and close every position that is ours, too.")
    ] = False,
    reducing: Annotated[
        bool, typer.Option("--reducing", help="Still take what makes a position smaller (REDUCING).")
    ] = False,
    reason: ReasonOption = "",
    request_id: Annotated[
        str, typer.Option("--id", help="The same id closes a position, or removes an order, once.")
    ] = "",
    state: StateOption = DEFAULT_STATE,
    as_json: JsonOption = False,
) -> None:
    """No entries any more. Closing, changing and removing go on."""
    if flatten and reducing:
        raise typer.BadParameter("what is closed could be opened again; leave --reducing out", param_hint="--flatten")
    wanted = order_pb2.TRADING_STATE_REDUCING if reducing else order_pb2.TRADING_STATE_HALTED
    named = request_id or str(uuid.uuid4())
    request = trading_pb2.SetTradingStateRequest(
        trading_state=wanted, reason=reason or f"halted by {who()}", flatten=flatten, request_id=named
    )
    answers = run(lambda: _halt(state, account, request))
    failed = [one for one in answers if one.answer is None]
    _tell([one.answer for one in answers if one.answer is not None], failed, as_json)
    end([], 0, tell_failures(failed), named)


def resume(
    account: AccountOption = "",
    reason: ReasonOption = "",
    state: StateOption = DEFAULT_STATE,
    as_json: JsonOption = False,
) -> None:
    """Entries again; status 1 while its PC forbids them, which is lifted there only: `suho agent resume`."""
    request = trading_pb2.SetTradingStateRequest(
        trading_state=order_pb2.TRADING_STATE_ACTIVE, reason=reason or f"resumed by {who()}"
    )
    resumed = run(lambda: _resume(state, account, request))
    _tell([resumed], [], as_json)
    known = run(lambda: _accounts(state))
    if still := [why for one in known if one.account == resumed[0] and (why := barred(one))]:
        fail("; ".join(still))


async def _halt(state: Path, account: str, request: trading_pb2.SetTradingStateRequest) -> list[Answer[Answered]]:
    """Of the account, or of every one: whatever is the matter with one, the others are halted."""
    async with trading(state) as stub:
        accounts = [await resolve_account(stub, account)] if account else await _every_account(stub)
        return await ask_engine_each(state, {account_name(one): _set_one(stub, request, one) for one in accounts})


async def _resume(state: Path, account: str, request: trading_pb2.SetTradingStateRequest) -> Answered:
    async with trading(state) as stub:
        return await _set_one(stub, request, await resolve_account(stub, account))


async def _accounts(state: Path) -> Sequence[trading_pb2.AccountStatus]:
    async with trading(state) as stub:
        return (await stub.ListAccounts(trading_pb2.ListAccountsRequest(), timeout=TIMEOUT_S)).accounts


async def _set_one(
    stub: "Stub", request: trading_pb2.SetTradingStateRequest, account: account_pb2.AccountRef
) -> Answered:
    own = trading_pb2.SetTradingStateRequest()
    own.CopyFrom(request)
    own.account.CopyFrom(account)
    return account, await stub.SetTradingState(own, timeout=TIMEOUT_S)


async def _every_account(stub: "Stub") -> list[account_pb2.AccountRef]:
    known = (await stub.ListAccounts(trading_pb2.ListAccountsRequest(), timeout=TIMEOUT_S)).accounts
    if not known:
        fail("no agent has brought an account yet: there is nothing to halt")
    return [item.account for item in known]


def _tell(answers: Sequence[Answered], failed: Sequence[Answer[Answered]], as_json: bool) -> None:
    if as_json:
        print_json({"accounts": [_facts(*answer) for answer in answers], "failed": failures(failed)})
        return
    for account, answer in answers:
        print(f"{account_name(account)} is {_name(answer)}{_flattening(answer)}")
        for signal_id in (*answer.removal_ids, *answer.signal_ids):
            print(f"  suho orders show {signal_id}")


def _flattening(answer: trading_pb2.SetTradingStateResponse) -> str:
    orders, positions = len(answer.removal_ids), len(answer.signal_ids)
    removing = f"; {orders} pending order(s) are being removed" if orders else ""
    return removing + (f"; {positions} position(s) are being closed" if positions else "")


def _facts(account: account_pb2.AccountRef, answer: trading_pb2.SetTradingStateResponse) -> dict[str, Any]:
    return {
        "account": account_facts(account),
        "trading_state": _name(answer),
        "signal_ids": list(answer.signal_ids),
        "removal_ids": list(answer.removal_ids),
    }


def _name(answer: trading_pb2.SetTradingStateResponse) -> str:
    return trading_state_name(answer.trading_state)
