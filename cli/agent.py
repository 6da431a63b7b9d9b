"""`suho agent`: the agent on this PC."""

import typer

from cli import agent_config

app = typer.Typer(no_args_is_help=True, help="The agent on this PC.")
app.add_typer(agent_config.app, name="config")
