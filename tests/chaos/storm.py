"""A storm over a running platform: `python -m tests.chaos.storm --minutes 10 --seed 1 --ticks 10000000`.

Processes are killed and paused, ports cut off, while a replay flows. Then there is quiet, and the account must be
exact.
Run it under `unshare --map-root-user --net` for the cuts: they are routing rules of a network namespace of its own.
Each fault is a line on standard error; the last line of standard output is one JSON object.
"""

import argparse
import asyncio
import itertools
import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.chaos.storm_process import end_in_order
from tests.chaos.telling import say, told
from tests.support.faults import Faults, prepare_network, schedule
from tests.support.many_ticks import generate_many, span_ms
from tests.support.platform import run_platform
from tests.support.replay_file import ReplayFile

_SYMBOLS = ("AAABBB", "CCCDDD", "EEEFFF")
# What can not be explained by a fault that a program survives.
_UNEXPLAINED = ("HOLE", "LOG_GAP")


@dataclass(frozen=True)
class Storm:
    """What is asked for."""

    minutes: float
    seed: int
    ticks: int
    partitions: bool


async def run(storm: Storm, folder: Path) -> dict[str, Any]:
    """The account: what was done, what is wrong (nothing, one hopes), the platform's own summary."""
    files = [generate_many(folder, name, storm.ticks // 3, storm.seed + at) for at, name in enumerate(_SYMBOLS)]
    # The feed lasts as long as the storm: every fault falls among flowing ticks.
    speed = max(span_ms(file.path) for file in files) / (storm.minutes * 60_000)
    feeds = [word for file in files for word in ("--feed", file.feed)]
    async with run_platform(*feeds, "--speed", f"{speed:.3f}", "--until-fed") as platform:
        await platform.ready(120)
        faults = Faults(platform)
        seeded = map(told, schedule(storm.seed, storm.partitions))
        await faults.run(itertools.takewhile(lambda _: platform.process.returncode is None, seeded), storm.minutes * 60)
        say("quiet")
        summary = await platform.summary(timeout_s=600)
        if platform.process.returncode != 0:
            say(platform.messages[-4000:])
    return {
        "seed": storm.seed,
        "minutes": storm.minutes,
        "ticks": sum(file.ticks for file in files),
        "partitions": storm.partitions,
        "faults": faults.done,
        "wrong": [
            *_wrong(summary, files),
            *(f"{kind}: {n}" for kind, n in summary["incidents"].items() if kind in _UNEXPLAINED),
        ],
        "summary": summary,
    }


def _wrong(summary: dict[str, Any], files: list[ReplayFile]) -> list[str]:
    """Every difference between what was in the files and what is stored, in words."""
    found = []
    for file in files:
        facts = summary["symbols"].get(file.symbol, {})
        wanted = {
            "sent": file.ticks,
            "stored": file.ticks,
            "distinct": file.ticks,
            "lost": 0,
            "quarantined": 0,
            "bid_points_sum": file.bid_points_sum,
            "ask_points_sum": file.ask_points_sum,
        }
        found += [
            f"{file.symbol}: {name} is {facts.get(name)}, not {value}"
            for name, value in wanted.items()
            if facts.get(name) != value
        ]
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--ticks", type=int, default=10_200_000)
    parser.add_argument("--partitions", action="store_true", help="this is a network namespace of its own")
    arguments = parser.parse_args()
    if arguments.partitions:
        prepare_network()
    end_in_order()
    with tempfile.TemporaryDirectory(prefix="suho-") as folder:
        account = asyncio.run(run(Storm(**vars(arguments)), Path(folder)))
    sys.stdout.write(json.dumps(account) + "\n")
    return 1 if account["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
