"""The client is the package: `conformance/observed.json` is what the real wheel was seen to have and to say."""

import copy
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.unit.pc_agent.twin.conformance.conform import differences

HERE = Path(__file__).parent / "conformance"
ROOT = Path(__file__).resolve().parents[4]
OBSERVED: dict[str, Any] = json.loads((HERE / "observed.json").read_text("utf-8"))


def conform(command: list[str], module: str) -> str:
    # Windows Python under Wine starts only with pipes around it.
    run = subprocess.run(
        [*command, "conform.py", "--module", module, "--against", "observed.json"],
        cwd=HERE,
        env=os.environ | {"PYTHONPATH": str(ROOT), "WINEDEBUG": "-all"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=100,
        check=False,
    )
    return run.stdout if run.returncode or run.stdout else ""


def test_the_client_is_as_the_package_was_observed() -> None:
    """Its constants, its tuples' fields, and of each call what it returns or raises and leaves in last_error."""
    assert conform([sys.executable], "pc_agent.twin.client") == ""


def test_the_package_under_wine_is_as_it_was_observed(wine_python: str) -> None:
    """The same script on the real wheel: what the twin is held to is what the wheel does."""
    assert conform(["wine", wine_python], "MetaTrader5") == ""


@pytest.mark.parametrize(
    ("part", "key", "value", "said"),
    [
        ("constants", "TIMEFRAME_H1", 60, "TIMEFRAME_H1: 60, not 16385"),
        ("structs", "Tick", ["time"], "Tick: ['time'], not ['time', 'bid'"),
        ("functions", slice(0, 1), [], "Buy: missing"),
        (
            "calls",
            slice(0, 1),
            [["initialize()", "True", [1, "Success"]]],
            "initialize(): True and [1, 'Success'], not",
        ),
    ],
)
def test_a_difference_is_said(part: str, key: Any, value: object, said: str) -> None:
    """One line for each, with what is and what should be."""
    other = copy.deepcopy(OBSERVED)
    other[part][key] = value
    (line,) = differences(other, OBSERVED)
    assert line.startswith(said)


def test_the_whole_package_was_observed() -> None:
    """32 functions and three in Python, 223 constants, eleven tuples; each function was called well and badly."""
    assert (len(OBSERVED["functions"]), len(OBSERVED["constants"]), len(OBSERVED["structs"])) == (35, 223, 11)
    for function in OBSERVED["functions"]:
        assert sum(call.startswith(f"{function}(") for call, *_ in OBSERVED["calls"]) >= 3, function
