"""`suho positions` and `suho close`: what the terminals hold, and closing it from the server side."""

import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from suho.common.v1 import account_pb2
from suho.trading.v1 import order_pb2, trading_pb2

from cli.answers import Answer, failures, tell_failures
from cli.closing import choose, refuse_unclear, sort_out, tell_gone
from cli.connection import DEFAULT_STATE, TIMEOUT_S, JsonOption, StateOption, run
from cli.order_words import account_facts, account_name, barred, kind_name, side_name, trading_state_name
from cli.output import fail, print_json, print_table, to_dict, utc
from cli.signal_options import refuse_bad_numbers
from cli.signal_send import AccountOption, WaitOption
from cli.trading import Stub, ask_engine_each, end, facts_of, print_order, resolve_account, sending, trading

_CLOSES = uuid.uuid5(uuid.NAMESPACE_URL, "suho:close")


def positions(account: AccountOption = "", state: StateOption = DEFAULT_STATE, as_json: JsonOption = False) -> None:
    """What the terminals of the connected agents hold: positions, pending orders, and what does not agree."""
    found, known = run(lambda: _positions(state, account))
    if as_json:
        print_json({"accounts": [_facts(item, known) for item in found]})
        return
    for item in found:
        _print_account(item)
        if why := barred(known.get(account_name(item.account), trading_pb2.AccountStatus())):
            print(f"! {why}")
    if not found:
        print("no agent has brought an account yet")


def close(
    targets: Annotated[list[str] | None, typer.Argument(metavar="[TICKET|SYMBOL]...", help="What to close.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every position that is ours.")] = False,
    volume: Annotated[str, typer.Option(help="Lots, of one position; otherwise all of it.")] = "",
    account: AccountOption = "",
    request_id: Annotated[
        str, typer.Option("--id", help="The same id closes a position once, however often it is asked.")
    ] = "",
    wait: WaitOption = 30.0,
    state: StateOption = DEFAULT_STATE,
    as_json: JsonOption = False,
) -> None:
    """Close positions: by ticket, by symbol, or all that are ours. Foreign ones are never touched."""
    refuse_unclear(targets or (), everything)
    if volume and (everything or len(targets or ()) != 1):
        raise typer.BadParameter("it goes with one position only", param_hint="--volume")
    refuse_bad_numbers(trading_pb2.SubmitSignalRequest(volume=volume))
    named = request_id or str(uuid.uuid4())
    done, gone, failed = run(lambda: _close(state, account, targets or [], volume, named, wait, as_json))
    if as_json:
        orders = [facts_of(order, duplicate) for order, duplicate in done]
        print_json({"id": named, "orders": orders, "gone": gone, "failed": failures(failed)})
    else:
        for order, duplicate in done:
            print_order(order, duplicate)
        tell_gone(gone)
        if not (done or gone or failed):
            print("nothing of ours is open")
    end([order for order, _ in done], wait, tell_failures(failed), named)


async def _positions(
    state: Path, account: str
) -> tuple[list[trading_pb2.AccountPositions], dict[str, trading_pb2.AccountStatus]]:
    """And how the accounts stand, by name."""
    async with trading(state) as stub:
        known = (await stub.ListAccounts(trading_pb2.ListAccountsRequest(), timeout=TIMEOUT_S)).accounts
        return await _ask(stub, account), {account_name(one.account): one for one in known}


async def _ask(stub: "Stub", account: str) -> list[trading_pb2.AccountPositions]:
    request = trading_pb2.ListPositionsRequest()
    if account:
        request.account.CopyFrom(await resolve_account(stub, account))
    return list((await stub.ListPositions(request, timeout=TIMEOUT_S)).accounts)


async def _close(
    state: Path, account: str, targets: list[str], volume: str, request_id: str, wait_s: float, as_json: bool
) -> tuple[list[tuple[order_pb2.Order, bool]], list[str], list[Answer[Any]]]:
    """The orders, which positions were gone by then, and what failed."""
    namespace = uuid.uuid5(_CLOSES, request_id)
    with sending(request_id, as_json) as under_way:
        async with trading(state) as stub:
            held, unfit = choose(await _ask(stub, account), targets)
            if volume and len(held) > 1:
                fail(f"--volume goes with one position; {', '.join(str(one.position.ticket) for one in held)} match")
            calls = {
                one.title: under_way.submit(stub, _closing(one.account, one.position, volume, namespace), wait_s)
                for one in held
            }
            done, gone, failed = sort_out(await ask_engine_each(state, calls))
            return done, gone, [*unfit, *failed]


def _closing(
    account: account_pb2.AccountRef, position: order_pb2.Position, volume: str, namespace: uuid.UUID
) -> trading_pb2.SubmitSignalRequest:
    return trading_pb2.SubmitSignalRequest(
        signal_id=str(uuid.uuid5(namespace, f"{account_name(account)}/{position.ticket}")),
        account=account,
        kind=order_pb2.ORDER_KIND_CLOSE,
        position=position.ticket,
        volume=volume,
    )


def _facts(item: trading_pb2.AccountPositions, known: Mapping[str, trading_pb2.AccountStatus]) -> dict[str, Any]:
    status = known.get(account_name(item.account), trading_pb2.AccountStatus())
    return {
        "account": account_facts(item.account),
        "trading_state": trading_state_name(status.trading_state),
        "safety": to_dict(status.safety) if status.HasField("safety") else None,
        "agent": item.agent,
        "snapshot": to_dict(item.snapshot) if item.HasField("snapshot") else None,
    }


def _print_account(item: trading_pb2.AccountPositions) -> None:
    if not item.HasField("snapshot"):
        print(
            f"{account_name(item.account)}: {'its agent has not told yet' if item.agent else 'no agent is connected'}"
        )
        return
    held = item.snapshot
    print(
        f"{account_name(item.account)} at {item.agent}: balance {held.balance}, equity {held.equity}, margin"
        f" {held.margin}, free {held.margin_free}; as of {utc(held.taken_unix_ns // 1_000_000)}"
    )
    columns = "TICKET SYMBOL SIDE VOLUME OPENED AT SL TP NOW PROFIT SWAP SIGNAL"
    print_table(columns.split(), [_position_row(position) for position in held.positions], "no positions")
    if held.orders:
        print()
        columns = "TICKET KIND SYMBOL SIDE VOLUME PRICE LIMIT SL TP EXPIRES SIGNAL"
        print_table(columns.split(), [_order_row(order) for order in held.orders], "")
    for difference in held.differences:
        kind = order_pb2.DifferenceKind.Name(difference.kind).removeprefix("DIFFERENCE_KIND_")
        print(f"! {kind} {difference.symbol} {difference.ticket or ''}: {difference.message}")


def _position_row(position: order_pb2.Position) -> tuple[object, ...]:
    return (
        position.ticket,
        position.symbol,
        side_name(position.side),
        position.volume,
        utc(position.opened_unix_ms),
        position.open_price,
        position.stop_loss or "-",
        position.take_profit or "-",
        position.current_price,
        position.profit,
        position.swap or "-",
        position.signal_id or "(foreign)",
    )


def _order_row(order: order_pb2.WorkingOrder) -> tuple[object, ...]:
    return (
        order.ticket,
        kind_name(order.kind),
        order.symbol,
        side_name(order.side),
        order.volume,
        order.price,
        order.limit_price or "-",
        order.stop_loss or "-",
        order.take_profit or "-",
        utc(order.expires_unix_ms) if order.expires_unix_ms else "-",
        order.signal_id or "(foreign)",
    )
