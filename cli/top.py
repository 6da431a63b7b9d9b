"""`suho top`: the mesh as it lives, on a terminal; a snapshot of it elsewhere."""

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import typer

from cli.connection import DEFAULT_STATE, JsonOption, StateOption, read_mesh, run
from cli.output import EXIT_UNREACHABLE, fail, print_json, print_table
from cli.top_source import LiveMesh
from cli.top_view import TABLES, View


def top(
    state: StateOption = DEFAULT_STATE,
    once: Annotated[bool, typer.Option("--once", help="Tables of this moment; so is it where no terminal is.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Services, instances, health, discovery clients and lanes, live; keys stand at the bottom."""
    read_mesh(state)
    if once or as_json or not _on_terminal():
        _tell_once(state, as_json)
        return
    try:
        from cli.top_screen import TopApp
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "textual":
            raise
        fail("the live screen needs textual: pip install 'suho[top]'; --once and --json work without it")
    screen = TopApp(LiveMesh(state))
    asyncio.run(screen.run_async())
    if screen.return_code:
        raise typer.Exit(screen.return_code)


def _on_terminal() -> bool:
    return sys.stdout.isatty() and sys.stdin.isatty()


def _tell_once(state: Path, as_json: bool) -> None:
    mesh = LiveMesh(state)
    run(mesh.once)
    if as_json:
        print_json(mesh.view.to_json())
    elif not mesh.view.away:
        _print(mesh.view)
    if mesh.view.away:
        fail(f"no hub answers ({mesh.view.away}): is the platform running? `suho up` starts it", EXIT_UNREACHABLE)


def _print(view: View) -> None:
    for alarm in view.alarms():
        print(f"ALARM {alarm}")
    for table in TABLES.values():
        print_table(table.columns, [row.cells for row in table.rows(view)], table.empty)
        print()
