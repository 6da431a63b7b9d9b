"""`suho agent`: the agent on this PC."""

import typer

from cli import agent_config, agent_confirmations, agent_orders, agent_store
from cli.agent_install import install, uninstall
from cli.agent_status import status

app = typer.Typer(no_args_is_help=True, help="The agent on this PC.")
app.add_typer(agent_config.app, name="config")
app.command()(status)
app.command()(install)
app.command()(uninstall)
agent_orders.add_to(app)
agent_confirmations.add_to(app)
agent_store.add_to(app)
