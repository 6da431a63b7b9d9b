"""Observes a module shaped like MetaTrader5 that has no terminal: its constants, its tuples, what it says of arguments.

    python conform.py --module MetaTrader5 --against observed.json    prints what differs; ends with 1 if anything does
    python conform.py --module MetaTrader5 --calls observed.json      prints what it observed, in the form of that file

It needs numpy and the module, nothing else: it runs on Windows and under Wine too.
"""

import argparse
import copy
import importlib
import json
import pickle
import re
import sys
from collections import OrderedDict
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

REQUEST = {"action": 1, "symbol": "EURUSD", "volume": 0.1, "type": 0, "price": 1.1}


class Float(float):
    """Not quite a float."""


class Text(str):
    """Not quite a text."""


_ADDRESS = re.compile("0x[0-9a-fA-F]+")


def observe(mt5: Any, calls: list[str]) -> dict[str, Any]:
    """What `mt5` has, and what each of `calls` gives: its result, or what it raised, and the last error after it."""
    public = {name: value for name, value in vars(mt5).items() if not name.startswith("_")}
    structs = {name: list(value.__match_args__) for name, value in public.items() if hasattr(value, "n_fields")}
    names = public | {
        "mt5": mt5, "np": np, "copy": copy, "pickle": pickle, "datetime": datetime, "timezone": timezone,
        "Decimal": Decimal, "OrderedDict": OrderedDict, "Float": Float, "Text": Text, "REQUEST": REQUEST,
    }  # fmt: skip
    return {
        "version": mt5.__version__,
        "at_import": list(mt5.last_error()),
        "constants": {name: value for name, value in public.items() if name.isupper()},
        "structs": structs,
        "functions": sorted(
            name for name, value in public.items() if callable(value) and name not in structs and hasattr(mt5, name)
        ),
        "calls": [[call, *_called(mt5, call, names)] for call in calls],
    }


def _called(mt5: Any, call: str, names: dict[str, Any]) -> tuple[str, list[object]]:
    mt5.shutdown()
    try:
        result = repr(eval(call, dict(names)))
    except Exception as error:  # noqa: BLE001 - what it raises is what is wanted
        result = f"{type(error).__name__}: {error}"
    return _ADDRESS.sub("0x", result), list(mt5.last_error())


def differences(observed: dict[str, Any], expected: dict[str, Any]) -> list[str]:
    """What of `expected` was not observed; a module may have more functions, but no other constants."""
    found = [
        f"{part}: {observed[part]}, not {expected[part]}"
        for part in ("version", "at_import")
        if observed[part] != expected[part]
    ]
    for part in ("constants", "structs"):
        for name in sorted(observed[part].keys() | expected[part].keys()):
            is_now, should_be = (one[part].get(name, "missing") for one in (observed, expected))
            if is_now != should_be:
                found.append(f"{name}: {is_now}, not {should_be}")
    found += [f"{name}: missing" for name in expected["functions"] if name not in observed["functions"]]
    for (call, result, error), (_, should_give, should_say) in zip(observed["calls"], expected["calls"], strict=True):
        if (result, error) != (should_give, should_say):
            found.append(f"{call}: {result} and {error}, not {should_give} and {should_say}")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--module", required=True)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--against", type=Path)
    what.add_argument("--calls", type=Path)
    options = parser.parse_args()
    file = json.loads((options.against or options.calls).read_text("utf-8"))
    observed = observe(importlib.import_module(options.module), [call for call, *_ in file["calls"]])
    if options.calls:
        sys.stdout.write(written(observed))
        return 0
    found = differences(observed, file)
    sys.stdout.write("".join(f"{line}\n" for line in found))
    return bool(found)


def written(observed: dict[str, Any]) -> str:
    """A line for each fact, so that changes can be read."""
    lines = ",\n".join(json.dumps(call) for call in observed["calls"])
    rest = json.dumps({name: value for name, value in observed.items() if name != "calls"}, indent=0)
    return f'{rest[:-2]},\n"calls": [\n{lines}\n]\n}}\n'


if __name__ == "__main__":
    sys.exit(main())
