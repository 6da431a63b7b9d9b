"""`suho up`: the whole platform on this machine."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from cli.connection import DEFAULT_STATE
from cli.output import fail

_FEED = "synthetic, SYMBOL=FILE, or a FILE whose name holds its symbol; repeatable."


def up(
    state: Annotated[Path | None, typer.Option(help="Folder of everything that is kept; .suho by default.")] = None,
    ephemeral: Annotated[bool, typer.Option("--ephemeral", help="Keep nothing: state in a temporary folder.")] = False,
    feed: Annotated[list[str] | None, typer.Option(help=_FEED)] = None,
    speed: Annotated[str, typer.Option(help="How many times faster than it happened: 1, N or max.")] = "1",
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Seed of the synthetic feed.")] = 1,
    for_: Annotated[float | None, typer.Option("--for", min=0, help="End after so many seconds.")] = None,
    until_fed: Annotated[
        bool, typer.Option("--until-fed", help="End when the feeds have ended and are stored.")
    ] = False,
    strategy: Annotated[str, typer.Option(help="Strategy to switch on, on the demo account; none otherwise.")] = "",
    ports: Annotated[str, typer.Option(help="documented: 7000, 8001, 8007, 8008; auto: free ones.")] = "documented",
    hubs: Annotated[int, typer.Option(min=1, max=9, help="How many hubs share the registry; 7000, 7001, …")] = 1,
    durability: Annotated[
        str, typer.Option(help="kill: what is confirmed survives any kill -9; power: and the loss of power (slower).")
    ] = "kill",
    as_json: Annotated[bool, typer.Option("--json", help="A summary as the last line of standard output.")] = False,
) -> None:
    """Start, supervise and show the platform until Ctrl-C, or until --for or --until-fed is over."""
    # Here, so that the other commands need not wait for what only this one imports.
    from compose.embedded.options import Options
    from compose.embedded.platform import run_platform
    from compose.embedded.program import CannotStartError
    from compose.embedded.screen import Screen

    if ephemeral and state is not None:
        raise typer.BadParameter("it keeps nothing, so leave --state out", param_hint="--ephemeral")
    if ports not in ("documented", "auto"):
        raise typer.BadParameter("'auto' or 'documented'", param_hint="--ports")
    if durability not in ("kill", "power"):
        raise typer.BadParameter("'kill' or 'power'", param_hint="--durability")
    options = Options(
        state=None if ephemeral else state or DEFAULT_STATE,
        feeds=tuple(feed or ["synthetic"]),
        speed=speed,
        seed=seed,
        for_s=for_,
        until_fed=until_fed,
        strategy=strategy,
        auto_ports=ports == "auto",
        hubs=hubs,
        survives_power_loss=durability == "power",
        as_json=as_json,
    )
    screen = Screen(as_json)
    try:
        outcome = asyncio.run(run_platform(options, screen))
    except CannotStartError as error:
        fail(str(error))
    screen.closing(options.state)
    if outcome is None:
        raise typer.Exit(130 if options.ends else 0)
    screen.tell(outcome.to_text())
    if as_json:
        sys.stdout.write(json.dumps(outcome.to_json()) + "\n")
    raise typer.Exit(0 if outcome.exact else 1)
