"""An agent whose lanes all go to one address: `python -m bench.signals.agent --front HOST:PORT [--shared] --config …`.

With `--shared` lane 0 has no connection of its own: signals go through that of a tick lane.
"""

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import grpc

from mesh.channel import LaneTarget, direct_channel
from mesh.program import run
from pc_agent.app import Agent
from pc_agent.config import AgentSettings


class Lanes:
    """Dials `front` for every lane, each over a connection of its own; `shared`: but lanes 0 and 1, over one."""

    def __init__(self, front: str, shared: bool) -> None:
        self._front = front
        self._shared = shared
        self._signals: grpc.aio.Channel | None = None

    @asynccontextmanager
    async def dial(self, target: LaneTarget) -> AsyncIterator[grpc.aio.Channel]:
        if target == "agent-ticks" and self._shared and self._signals is not None:
            channel, self._signals = self._signals, None
            yield channel
            return
        async with direct_channel([self._front], own=True) as opened:
            if target == "agent-signals":
                self._signals = opened
            yield opened


async def main(front: str, shared: bool, settings: AgentSettings, stop: asyncio.Event) -> None:
    await Agent(settings, Lanes(front, shared).dial).run(stop)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--front", required=True)
    parser.add_argument("--shared", action="store_true")
    own, rest = parser.parse_known_args()
    sys.argv[1:] = rest
    sys.exit(run("pc-agent", AgentSettings, partial(main, own.front, own.shared)))
