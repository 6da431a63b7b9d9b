"""The commands, together."""

import re
import subprocess
import sys

from typer.testing import CliRunner

from cli.__main__ import app

runner = CliRunner()


def test_the_help_names_every_command() -> None:
    """Each with what it does: each is there and can be loaded."""
    told = runner.invoke(app, ["--help"])
    assert told.exit_code == 0
    named = {line[2:].split()[0] for line in told.stdout.splitlines() if re.match(r"│ [a-z]", line)}
    assert {"up", "orders", "signal", "agent", "bench"} < named


def test_who_mistypes_a_command_is_told_what_there_is() -> None:
    """Also of commands that were not loaded."""
    refused = runner.invoke(app, ["ordres"])
    assert refused.exit_code == 2
    assert "Did you mean 'orders'" in refused.stderr


def test_a_command_loads_no_other() -> None:
    """All together take longer than most of them."""
    code = "import sys; from cli.__main__ import app\ntry: app(['signal', 'send', '--help'])\nexcept SystemExit: pass\n"
    told = "print(sorted(set(sys.modules) & {'cli.signal_send', 'cli.agent', 'cli.ticks', 'numpy'}))"
    done = subprocess.run([sys.executable, "-P", "-c", code + told], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "['cli.signal_send']"
