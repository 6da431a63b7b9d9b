"""`suho agent halt|resume|positions|close|adopt|allow-live|resolve`: the person at the PC.

They work while the mesh is away.
"""

import uuid
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from suho.agent.v1 import agent_pb2 as pb
from suho.trading.v1 import order_pb2

from cli.agent_connection import (
    CLOSING_TIMEOUT_S,
    DEFAULT_AGENT_STATE,
    AccountOption,
    AgentCalls,
    AgentStateOption,
    run_agent,
)
from cli.answers import Answer, ask_each, failures, tell_failures
from cli.closing import choose, refuse_unclear, sort_out, tell_gone
from cli.connection import JsonOption
from cli.output import EXIT_REFUSED, EXIT_UNREACHABLE, fail, print_json, print_table, to_dict, utc

_AS_ASKED = (order_pb2.ORDER_STATE_FILLED, order_pb2.ORDER_STATE_DONE)
_UNKNOWN = order_pb2.ORDER_STATE_UNKNOWN


def halt(
    reason: Annotated[str, typer.Option("--reason", help="Why; it is told to everybody.")] = "halted by hand",
    flatten: Annotated[
        bool, typer.Option("--flatten", help="Remove every pending order and close every position that is ours, too.")
    ] = False,
    account: AccountOption = "",
    agent_state: AgentStateOption = DEFAULT_AGENT_STATE,
    as_json: JsonOption = False,
) -> None:
    """The kill switch: no entries any more, at once and until `resume`, whatever the engine says."""

    async def ask(agent: AgentCalls) -> pb.HaltResponse:
        request = pb.HaltRequest(reason=reason, flatten=flatten, account=await agent.account(account))
        answer: pb.HaltResponse = await agent(agent.stub.Halt, request, CLOSING_TIMEOUT_S)
        return answer

    answer = run_agent(agent_state, ask)
    if not as_json:
        stays = "positions and pending orders stay as they are"
        if flatten:
            stays = "pending orders of ours are removed, positions of ours closed"
        print(f"halted: no entries until `suho agent resume`; {stays}")
    _tell_closed(answer.positions, as_json, quiet=not flatten, removed=answer.orders)


def resume(
    account: AccountOption = "", agent_state: AgentStateOption = DEFAULT_AGENT_STATE, as_json: JsonOption = False
) -> None:
    """Lift the kill switch; status 1 while something else still forbids entries."""

    async def ask(agent: AgentCalls) -> pb.ResumeResponse:
        request = pb.ResumeRequest(account=await agent.account(account))
        answer: pb.ResumeResponse = await agent(agent.stub.Resume, request)
        return answer

    answer = run_agent(agent_state, ask)
    if as_json:
        print_json(to_dict(answer))
    elif not answer.remaining:
        print("entries are allowed again, as far as this PC is concerned")
    else:
        for safety in answer.remaining:
            print(f"still halted, {safety.reason}: {safety.message}")
    if answer.remaining:
        raise typer.Exit(EXIT_REFUSED)


def positions(agent_state: AgentStateOption = DEFAULT_AGENT_STATE, as_json: JsonOption = False) -> None:
    """What the terminals hold: positions, pending orders, and where somebody says otherwise."""

    async def ask(agent: AgentCalls) -> pb.ListPositionsResponse:
        answer: pb.ListPositionsResponse = await agent(agent.stub.ListPositions, pb.ListPositionsRequest())
        return answer

    answer = run_agent(agent_state, ask)
    if as_json:
        print_json(to_dict(answer))
        return
    rows = [
        (one.ticket, _name(terminal), one.symbol, _short(one.side, "ORDER_SIDE_"), one.volume, one.open_price,
         one.current_price, one.stop_loss or "-", one.take_profit or "-", one.profit, one.signal_id or "foreign")
        for terminal in answer.terminals
        for one in terminal.snapshot.positions
    ]  # fmt: skip
    columns = ("TICKET", "ACCOUNT", "SYMBOL", "SIDE", "VOLUME", "OPENED", "NOW", "SL", "TP", "PROFIT", "SIGNAL")
    unread = [f"{_name(one)}: its books were not read yet" for one in answer.terminals if not one.HasField("snapshot")]
    untold = [*answer.silent, *unread]
    if rows or not untold:
        print_table(columns, rows, "no position is open")
    orders = [
        (one.ticket, _name(terminal), one.symbol, _short(one.kind, "ORDER_KIND_"), _short(one.side, "ORDER_SIDE_"),
         one.volume, one.price, utc(one.expires_unix_ms) if one.expires_unix_ms else "-", one.signal_id or "foreign")
        for terminal in answer.terminals
        for one in terminal.snapshot.orders
    ]  # fmt: skip
    if orders:
        print_table(["ORDER", "ACCOUNT", "SYMBOL", "KIND", "SIDE", "VOLUME", "PRICE", "EXPIRES", "SIGNAL"], orders, "")
    for words in untold:
        print(f"! {words}")
    for terminal in answer.terminals:
        for one in terminal.snapshot.differences:
            about = f" {one.ticket}" if one.ticket else ""
            print(f"{_short(one.kind, 'DIFFERENCE_KIND_')} {one.symbol}{about}: {one.message}")


def close(
    targets: Annotated[list[str] | None, typer.Argument(metavar="[TICKET|SYMBOL]...", help="What to close.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Every position that is ours.")] = False,
    account: AccountOption = "",
    request_id: Annotated[str, typer.Option("--id", help="The same id closes a position once.")] = "",
    agent_state: AgentStateOption = DEFAULT_AGENT_STATE,
    as_json: JsonOption = False,
) -> None:
    """Close positions that are ours at the market; the kill switch does not stop it."""
    refuse_unclear(targets or (), every)
    request = pb.ClosePositionsRequest(request_id=request_id or str(uuid.uuid4()))

    async def ask(agent: AgentCalls) -> tuple[list[pb.ClosePositionsResponse], list[str], list[Answer[Any]]]:
        if (named := await agent.account(account)) is not None:
            request.account.CopyFrom(named)
        if every:
            return [await agent(agent.stub.ClosePositions, request, CLOSING_TIMEOUT_S)], [], []
        return await _close(agent, request, targets or ())

    answers, gone, failed = run_agent(agent_state, ask)
    closed = [one for answer in answers for one in answer.positions]
    _tell_closed(closed, as_json, quiet=False, gone=gone, failed=failed)


async def _close(
    agent: AgentCalls, request: pb.ClosePositionsRequest, targets: Sequence[str]
) -> tuple[list[pb.ClosePositionsResponse], list[str], list[Answer[Any]]]:
    """Each position by a request of its own, so that one that can not be closed keeps no other one open."""
    listed: pb.ListPositionsResponse = await agent(agent.stub.ListPositions, pb.ListPositionsRequest())
    named = request.HasField("account")
    meant = [one for one in listed.terminals if not named or one.account == request.account]
    held, unfit = choose(meant, targets, () if named else listed.silent)
    closes = {
        one.title: pb.ClosePositionsRequest(
            account=one.account, positions=[one.position.ticket], request_id=request.request_id
        )
        for one in held
    }
    answers = await ask_each(
        {title: agent(agent.stub.ClosePositions, close, CLOSING_TIMEOUT_S) for title, close in closes.items()}
    )
    done, gone, failed = sort_out(answers)
    return done, gone, [*unfit, *failed]


def adopt(
    ticket: Annotated[int, typer.Argument(help="A foreign position's.")],
    account: AccountOption = "",
    agent_state: AgentStateOption = DEFAULT_AGENT_STATE,
    as_json: JsonOption = False,
) -> None:
    """A foreign position counts as yours from now on: it may be closed, and the engine counts it."""

    async def ask(agent: AgentCalls) -> pb.AdoptPositionResponse:
        request = pb.AdoptPositionRequest(position=ticket, account=await agent.account(account))
        answer: pb.AdoptPositionResponse = await agent(agent.stub.AdoptPosition, request)
        return answer

    answer = run_agent(agent_state, ask)
    if as_json:
        print_json(to_dict(answer))
    else:
        one = answer.position
        print(f"{one.ticket}: {_short(one.side, 'ORDER_SIDE_').lower()} {one.volume} {one.symbol}, now {one.signal_id}")


def allow_live(
    account: Annotated[str, typer.Argument(help="LOGIN, or LOGIN@SERVER.")],
    forbid: Annotated[bool, typer.Option("--forbid", help="Not any more.")] = False,
    agent_state: AgentStateOption = DEFAULT_AGENT_STATE,
    as_json: JsonOption = False,
) -> None:
    """Allow entries on an account that is no demo. It is kept on this PC, and nobody else can allow it."""

    async def ask(agent: AgentCalls) -> None:
        request = pb.AllowLiveMoneyRequest(account=await agent.account(account), allowed=not forbid)
        await agent(agent.stub.AllowLiveMoney, request)

    run_agent(agent_state, ask)
    if as_json:
        print_json({"account": account, "allowed": not forbid})
    else:
        print(f"live money is {'forbidden' if forbid else 'allowed'} on {account}, as far as this PC is concerned")


def resolve(
    signal_id: Annotated[str, typer.Argument(metavar="SIGNAL", help="An order that is UNKNOWN.")],
    filled: Annotated[str, typer.Option("--filled", metavar="VOLUME@PRICE", help="You saw that it was.")] = "",
    not_executed: Annotated[bool, typer.Option("--not-executed", help="You saw that it was not.")] = False,
    agent_state: AgentStateOption = DEFAULT_AGENT_STATE,
    as_json: JsonOption = False,
) -> None:
    """Say what became of an order that nobody could find out; its symbol thaws."""
    if bool(filled) == not_executed:
        raise typer.BadParameter("say one of --filled VOLUME@PRICE and --not-executed")
    volume, at, price = filled.partition("@")
    if filled and not (volume and at and price):
        raise typer.BadParameter(f"{filled!r}: write VOLUME@PRICE, e.g. 0.02@1.0850", param_hint="--filled")
    state = order_pb2.ORDER_STATE_FILLED if filled else order_pb2.ORDER_STATE_NOT_EXECUTED

    async def ask(agent: AgentCalls) -> None:
        request = pb.ResolveOrderRequest(signal_id=signal_id, state=state, filled_volume=volume, filled_price=price)
        await agent(agent.stub.ResolveOrder, request)

    run_agent(agent_state, ask)
    outcome = _short(state, "ORDER_STATE_")
    if as_json:
        print_json({"signal_id": signal_id, "state": outcome, "filled_volume": volume, "filled_price": price})
    else:
        print(f"{signal_id}: {outcome}, as you say; its symbol is traded again")


def add_to(app: typer.Typer) -> None:
    """These commands, in the order in which they are wanted."""
    for command in (halt, resume, positions, close, adopt, resolve):
        app.command()(command)
    app.command("allow-live")(allow_live)


def _tell_closed(
    closed: Sequence[pb.ClosedPosition],
    as_json: bool,
    *,
    quiet: bool,
    removed: Sequence[pb.RemovedOrder] = (),
    gone: Sequence[str] = (),
    failed: Sequence[Answer[Any]] = (),
) -> None:
    """Status 1 when one was refused, 3 when nobody knows of one."""
    outcomes: list[pb.ClosedPosition | pb.RemovedOrder] = [*closed, *removed]
    if as_json:
        told = {"positions": [to_dict(one) for one in closed], "orders": [to_dict(one) for one in removed]}
        print_json({**told, "gone": list(gone), "failed": failures(failed)})
    elif closed or not (quiet or gone or failed):
        if removed:
            print_table(("ORDER", "STATE", "REASON", "MESSAGE"), [_outcome(one) for one in removed], "")
        rows = [_outcome(one) for one in closed]
        print_table(("POSITION", "STATE", "REASON", "MESSAGE"), rows, "nothing of ours was open")
    if not as_json:
        tell_gone(gone)
    status = tell_failures(failed)
    if any(one.state == _UNKNOWN for one in outcomes):
        fail("an order may have been executed: the agent looks for it, `suho agent positions` tells", EXIT_UNREACHABLE)
    if status or any(one.state not in _AS_ASKED for one in outcomes):
        raise typer.Exit(status or EXIT_REFUSED)


def _outcome(one: pb.ClosedPosition | pb.RemovedOrder) -> tuple[object, ...]:
    return one.ticket, _short(one.state, "ORDER_STATE_"), one.reason, one.message


def _name(terminal: pb.TerminalPositions) -> str:
    return f"{terminal.account.login}@{terminal.account.server}"


def _short(value: int, prefix: str) -> str:
    """An enum's name without what all of its kind begin with."""
    kind: Any = {
        "ORDER_SIDE_": order_pb2.OrderSide,
        "ORDER_KIND_": order_pb2.OrderKind,
        "ORDER_STATE_": order_pb2.OrderState,
        "DIFFERENCE_KIND_": order_pb2.DifferenceKind,
    }[prefix]
    name: str = kind.Name(value)
    return name.removeprefix(prefix)
