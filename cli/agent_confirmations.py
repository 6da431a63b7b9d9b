"""`suho agent confirmations|confirm`: entries that wait for the word of the person at the PC."""

from collections.abc import Iterator
from typing import Annotated

import typer
from suho.agent.v1 import agent_pb2 as pb

from cli.agent_connection import DEFAULT_AGENT_STATE, AgentCalls, AgentStateOption, run_agent
from cli.connection import JsonOption
from cli.output import fail, print_json, print_table, to_dict, utc
from mesh.clock import unix_ms


def confirmations(
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Each as it comes and goes, until Ctrl-C; with --json a line each.")
    ] = False,
    agent_state: AgentStateOption = DEFAULT_AGENT_STATE,
    as_json: JsonOption = False,
) -> None:
    """Entries that wait for your word."""
    if watch:
        run_agent(agent_state, lambda agent: _follow(agent, as_json))
        return
    answer = run_agent(agent_state, _waiting)
    if as_json:
        print_json(to_dict(answer))
        return
    rows = [
        (one.signal_id, f"{one.account.login}@{one.account.server}", one.sentence, utc(one.until_unix_ms))
        for one in answer.confirmations
    ]
    print_table(("SIGNAL", "ACCOUNT", "WHAT WOULD BE SENT", "UNTIL"), rows, "nothing waits for a word")


def confirm(
    signal_id: Annotated[
        str, typer.Argument(metavar="SIGNAL", help="As `suho agent confirmations` lists it, or how it begins.")
    ],
    refuse: Annotated[bool, typer.Option("--refuse", help="It is not to be sent.")] = False,
    agent_state: AgentStateOption = DEFAULT_AGENT_STATE,
    as_json: JsonOption = False,
) -> None:
    """Say that an entry may be sent to the terminal, or may not."""

    async def ask(agent: AgentCalls) -> tuple[str, str]:
        known = [one.signal_id for one in (await _waiting(agent)).confirmations]
        meant = [signal_id] if signal_id in known else [name for name in known if name.startswith(signal_id)]
        if len(meant) > 1:
            fail(f"{signal_id!r} is how {len(meant)} of them begin: {', '.join(meant)}")
        name = meant[0] if meant else signal_id
        asked = pb.ConfirmRequest(signal_id=name, confirmed=not refuse)
        answer: pb.ConfirmResponse = await agent(agent.stub.Confirm, asked)
        return name, answer.behind

    name, behind = run_agent(agent_state, ask)
    if as_json:
        print_json({"signal_id": name, "confirmed": not refuse, "behind": behind})
    else:
        waits = f"; it waits for {behind}, which came before it: confirm or refuse that too" if behind else ""
        print(f"{name}: {'refused' if refuse else 'confirmed'}{waits}")


async def _waiting(agent: AgentCalls) -> pb.ListConfirmationsResponse:
    answer: pb.ListConfirmationsResponse = await agent(agent.stub.ListConfirmations, pb.ListConfirmationsRequest())
    return answer


async def _follow(agent: AgentCalls, as_json: bool) -> None:
    known: dict[str, pb.Confirmation] = {}
    async for answer in agent.watch():
        now = {one.signal_id: one for one in answer.status.confirmations}
        for is_there, one in _changes(known, now):
            if as_json:
                print_json({"waits": is_there, **to_dict(one)})
            else:
                print(_words(is_there, one), flush=True)
        known = now


def _changes(
    known: dict[str, pb.Confirmation], now: dict[str, pb.Confirmation]
) -> Iterator[tuple[bool, pb.Confirmation]]:
    """What waits no more, then what waits now."""
    yield from ((False, one) for name, one in known.items() if name not in now)
    yield from ((True, one) for name, one in now.items() if name not in known)


def _words(is_there: bool, one: pb.Confirmation) -> str:
    if not is_there:
        return f"{one.signal_id} waits no more: it was answered, or its time ran out"
    left_s = max(0, one.until_unix_ms - unix_ms()) // 1000
    account = f"{one.account.login}@{one.account.server}"
    return f"{one.signal_id} on {account}, for {left_s} s: {one.sentence}; `suho agent confirm {one.signal_id}`"


def add_to(app: typer.Typer) -> None:
    """These commands."""
    app.command()(confirmations)
    app.command()(confirm)
