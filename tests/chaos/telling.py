"""What a storm says while it goes on: a line on standard error."""

import sys

from tests.support.faults import Fault


def told(fault: Fault) -> Fault:
    """`fault`, said."""
    say(str(fault))
    return fault


def say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
