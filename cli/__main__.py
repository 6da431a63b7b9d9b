"""The `suho` command."""

import sys
from importlib.metadata import version
from io import TextIOWrapper
from typing import Annotated

import typer

from cli import (
    accounts,
    agent,
    bench,
    configs,
    deals,
    drains,
    instances,
    market,
    mesh_commands,
    mesh_state,
    orders,
    positions,
    records,
    services,
    signal_send,
    ticks,
    trading_state,
    watch,
)
from cli.call import call
from cli.top import top
from cli.up import up

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _tell_version(asked: bool) -> None:
    if asked:
        print(f"suho {version('suho')}")
        raise typer.Exit


@app.callback()
def options(
    tell_version: Annotated[
        bool, typer.Option("--version", help="Tell the version and end.", is_eager=True, callback=_tell_version)
    ] = False,
) -> None:
    """Suho: a gRPC mesh for trading through MetaTrader 5."""


app.command()(up)
app.command()(mesh_commands.status)
app.command()(services.services)
app.command()(instances.instances)
app.command()(watch.watch)
app.command()(drains.drain)
app.command()(drains.undrain)
app.command()(drains.drains)
app.add_typer(mesh_state.app, name="mesh")
app.add_typer(configs.app, name="config")
app.add_typer(accounts.app, name="accounts")
app.add_typer(orders.app, name="orders")
app.command()(positions.positions)
app.command()(positions.close)
app.command()(deals.deals)
app.command()(trading_state.halt)
app.command()(trading_state.resume)
app.command()(market.market)
app.command()(mesh_commands.bootstrap)
app.command()(mesh_commands.logs)
app.command()(call)
app.command()(top)
app.add_typer(agent.app, name="agent")
app.add_typer(ticks.app, name="ticks")
app.add_typer(records.app, name="records")
app.add_typer(bench.app, name="bench")
app.add_typer(signal_send.app, name="signal")


def main() -> None:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a pipe of Windows knows few characters: better one lost than a line
    app()


if __name__ == "__main__":
    main()
