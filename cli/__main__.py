"""The `suho` command."""

import sys
from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import version
from io import TextIOWrapper
from types import MappingProxyType
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command, get_group

# Where each command is, as they stand in the help. Only the one that is asked for is loaded: all take longer than most.
_COMMANDS: Mapping[str, str] = MappingProxyType(
    {
        "up": "up:up",
        "status": "mesh_commands:status",
        "services": "services:services",
        "instances": "instances:instances",
        "watch": "watch:watch",
        "drain": "drains:drain",
        "undrain": "drains:undrain",
        "drains": "drains:drains",
        "mesh": "mesh_state:app",
        "config": "configs:app",
        "accounts": "accounts:app",
        "orders": "orders:app",
        "positions": "positions:positions",
        "close": "positions:close",
        "deals": "deals:deals",
        "halt": "trading_state:halt",
        "resume": "trading_state:resume",
        "market": "market:market",
        "bootstrap": "mesh_commands:bootstrap",
        "logs": "mesh_commands:logs",
        "call": "call:call",
        "top": "top:top",
        "agent": "agent:app",
        "ticks": "ticks:app",
        "records": "records:app",
        "bench": "bench:app",
        "signal": "signal_send:app",
    }
)


class _Commands(TyperGroup):
    def list_commands(self, ctx: Any) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in _COMMANDS:
            self.commands = {name: self.get_command(ctx, name) for name in _COMMANDS}  # whichever may be meant
            return None
        module, name = _COMMANDS[cmd_name].split(":")
        found = getattr(import_module(f"cli.{module}"), name)
        if isinstance(found, typer.Typer):
            found.info.name = cmd_name
            return get_group(found)
        alone = typer.Typer(add_completion=False)
        alone.command(cmd_name)(found)
        return get_command(alone)


app = typer.Typer(
    cls=_Commands,
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


def main() -> None:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a pipe of Windows knows few characters: better one lost than a line
    app()


if __name__ == "__main__":
    main()
