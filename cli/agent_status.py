"""`suho agent status`: the agent on this PC, once or as it lives; with or without a mesh."""

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import grpc
import typer
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text
from suho.agent.v1 import agent_pb2 as pb

from cli.agent_connection import DEFAULT_AGENT_STATE, AgentCalls, AgentStateOption, run_agent
from cli.agent_status_view import Section, heading, sections, troubles
from cli.connection import JsonOption
from cli.output import EXIT_REFUSED, fail, print_json, print_table, to_dict
from mesh.channel import direct_channel
from mesh.errors import MeshError
from mesh.waiting import backoff
from pc_agent.control.endpoint import NoAgentError, find


def status(
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Live, until Ctrl-C; with --json a line each.")] = False,
    agent_state: AgentStateOption = DEFAULT_AGENT_STATE,
    as_json: JsonOption = False,
) -> None:
    """Lanes, terminals, symbols, ledger, settings, last errors; status 1 where something is wrong."""
    if watch:
        _watch(agent_state, as_json)
        return

    async def ask(agent: AgentCalls) -> pb.AgentStatus:
        answer: pb.GetStatusResponse = await agent(agent.stub.GetStatus, pb.GetStatusRequest())
        return answer.status

    told = run_agent(agent_state, ask)
    found = troubles(told)
    if as_json:
        print_json({**to_dict(told), "troubles": found})
    else:
        print(heading(told))
        for trouble in found:
            print(f"WRONG {trouble}")
        for section in sections(told):
            print()
            print_table(section.columns, section.rows, section.empty)
    if found:
        raise typer.Exit(EXIT_REFUSED)


def _watch(folder: Path, as_json: bool) -> None:
    if as_json:
        run_agent(folder, _lines)
        return
    if not sys.stdout.isatty():
        fail("--watch draws on a terminal; elsewhere take --watch --json", 2)
    with Live(Text("asking the agent …"), console=Console(), screen=True, auto_refresh=False) as live:
        try:
            asyncio.run(_draw(folder, live))
        except KeyboardInterrupt:
            return


async def _lines(agent: AgentCalls) -> None:
    async for answer in agent.watch():
        print_json({**to_dict(answer.status), "troubles": troubles(answer.status)})


async def _draw(folder: Path, live: Live) -> None:
    """For ever; an agent that ends, or is another one then, is found again."""
    shown: pb.AgentStatus | None = None
    pauses = backoff(0.2, 2.0)
    while True:
        try:
            endpoint = find(folder)
            async with direct_channel([endpoint.address]) as channel:
                async for answer in AgentCalls(channel, endpoint.token).watch():
                    shown, pauses = answer.status, backoff(0.2, 2.0)
                    live.update(screen_of(shown, ""), refresh=True)
            because = "the agent ended the stream"
        except NoAgentError as error:
            because = str(error)
        except grpc.aio.AioRpcError as error:
            because = MeshError.of(error).message
        live.update(screen_of(shown, because), refresh=True)
        await asyncio.sleep(next(pauses))


def screen_of(status: pb.AgentStatus | None, away: str) -> RenderableType:
    """What a terminal shows; `away`: why it is old, empty: it is fresh."""
    parts: list[RenderableType] = [Text(f"no agent answers: {away}", style="bold red")] if away else []
    if status is not None:
        parts.append(Text(heading(status), style="bold"))
        parts += [Text(trouble, style="red") for trouble in troubles(status)]
        parts += [_table(section) for section in sections(status)]
    return Group(*parts)


def _table(section: Section) -> RenderableType:
    if not section.rows:
        return Text(f"\n{section.empty}" if section.empty else "")
    table = Table(box=None, pad_edge=False, header_style="bold", title_justify="left")
    for number, column in enumerate(section.columns):
        table.add_column(column, overflow="ellipsis", no_wrap=number == 0)
    for row in section.rows:
        table.add_row(*(Text(str(cell)) for cell in row))
    return Group(Text(""), table)
