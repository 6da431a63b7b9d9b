"""A client that has nothing but grpcio: no line of Suho. Commands on standard input, a JSON line for each answer.

call PATH [NAME=VALUE …]  one call with headers; answers {"ok", "reply" or "code" and "details", "ms"}
to TARGET PATH      the same through a channel of its own
both TARGET PATH    the same, while calls through `xds:///mesh` go on; answers {"other", "meanwhile"}
burst PATH N        N calls at once; answers {"replies"}
load PATH N         N loops call until `stop`, which answers {"calls", "by", "errors"}
lanes TARGET PATH N N channels with a connection each, one call on each; answers {"replies"}
"""

import asyncio
import json
import sys
import time
from collections import Counter

import grpc


async def one(channel, path, *headers, timeout=20.0):
    start = time.perf_counter()
    metadata = [tuple(header.split("=", 1)) for header in headers]
    try:
        reply = await channel.unary_unary(path)(b"", timeout=timeout, metadata=metadata)
    except grpc.aio.AioRpcError as error:
        return {"ok": False, "code": error.code().name, "details": error.details(), "ms": _since(start)}
    return {"ok": True, "reply": reply.decode("latin-1"), "ms": _since(start)}


def _since(start):
    return (time.perf_counter() - start) * 1000


async def load(channel, path, stop, by, errors):
    while not stop.is_set():
        outcome = await one(channel, path)
        by[outcome.get("reply", "")] += 1
        if not outcome["ok"]:
            errors.append(outcome)
        await asyncio.sleep(0.002)


async def lanes(target, path, number):
    options = [("grpc.use_local_subchannel_pool", 1)]
    channels = [grpc.aio.insecure_channel(target, options=options) for _ in range(number)]
    replies = [await one(channel, path) for channel in channels]
    for channel in channels:
        await channel.close()
    return {"replies": replies}


async def to(target, path):
    async with grpc.aio.insecure_channel(target) as channel:
        return await one(channel, path)


async def both(channel, target, path):
    other, meanwhile = asyncio.create_task(to(target, path)), []
    while not other.done():
        meanwhile.append(await one(channel, path))
        await asyncio.sleep(0.01)
    return {"other": await other, "meanwhile": meanwhile}


async def main():
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    stop, by, errors, loops = asyncio.Event(), Counter(), [], []
    async with grpc.aio.insecure_channel("xds:///mesh") as channel:
        while line := await reader.readline():
            command, *rest = line.decode().split()
            answer = None
            if command == "call":
                answer = await one(channel, *rest)
            elif command == "to":
                answer = await to(*rest)
            elif command == "both":
                answer = await both(channel, *rest)
            elif command == "burst":
                answer = {"replies": await asyncio.gather(*(one(channel, rest[0]) for _ in range(int(rest[1]))))}
            elif command == "lanes":
                answer = await lanes(rest[0], rest[1], int(rest[2]))
            elif command == "load":
                loops = [asyncio.create_task(load(channel, rest[0], stop, by, errors)) for _ in range(int(rest[1]))]
                answer = {}
            elif command == "stop":
                stop.set()
                await asyncio.gather(*loops)
                answer = {"calls": sum(by.values()), "by": by, "errors": errors}
            sys.stdout.write(json.dumps(answer) + "\n")
            sys.stdout.flush()


asyncio.run(main())
