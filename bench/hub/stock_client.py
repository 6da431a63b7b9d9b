"""Clients that have nothing but grpcio: no line of Suho. Each calls `xds:///mesh` again and again.

Started with METHOD CHANNELS PAUSE (seconds); the bootstrap is in the environment. For every line on standard input it
answers with one: {"calls": [[channel, began, reply], …], "errors": […]} since the last; `began` is `perf_counter_ns`.
"""

import asyncio
import json
import sys
import time
from typing import Any

import grpc


async def call_on(number: int, method: str, pause_s: float, calls: list[Any], errors: list[str]) -> None:
    # Channels of one target share a discovery stream; what follows the '?' is no part of a name, but of the target.
    target = f"xds:///mesh?client={number}"
    async with grpc.aio.insecure_channel(target, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        call: Any = channel.unary_unary(method)
        while True:
            began = time.perf_counter_ns()
            try:
                calls.append((number, began, (await call(b"", timeout=10)).decode()))
            except grpc.aio.AioRpcError as error:
                errors.append(f"{error.code().name} {error.details()}")
            await asyncio.sleep(pause_s)


async def main(method: str, channels: int, pause_s: float) -> None:
    calls: list[Any] = []
    errors: list[str] = []
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(call_on(number, method, pause_s, calls, errors)) for number in range(channels)]
        while await asyncio.to_thread(sys.stdin.readline):
            print(json.dumps({"calls": calls, "errors": errors}), flush=True)
            calls.clear()
            errors.clear()
        for task in running:
            task.cancel()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
