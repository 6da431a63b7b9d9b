"""The agent as a process whose lanes dial given addresses: `agent_process CONFIG BRIDGE ENGINE`. No hub is needed."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


async def run(config: str, bridge: str, engine: str) -> None:
    import grpc

    from mesh.channel import LaneTarget
    from mesh.config import load_settings
    from pc_agent.app import Agent
    from pc_agent.config import AgentSettings

    # Nobody keeps records: the agent works without.
    addresses = {"agent-ticks": bridge, "agent-signals": engine, "agent-records": "127.0.0.1:9"}

    @asynccontextmanager
    async def dial(target: LaneTarget) -> AsyncIterator[grpc.aio.Channel]:
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_reconnect_backoff_ms", 300)]
        async with grpc.aio.insecure_channel(addresses[target], options=options) as channel:
            yield channel

    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await Agent(load_settings(AgentSettings, "pc-agent", ["--config", config]), dial).run(stop)


if __name__ == "__main__":
    asyncio.run(run(*sys.argv[1:]))
