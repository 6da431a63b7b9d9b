"""One packed struct a tick over ZeroMQ PUSH/PULL: the fastest of the open MT5 bridges' transports."""

import struct
from typing import Any

import zmq

from bench.race import Racer
from bench.source import Source

_TICK = struct.Struct("<q d d 8s")


def receive(pipe: Any, ticks: int) -> None:
    with zmq.Context() as context, context.socket(zmq.PULL) as socket:
        socket.set_hwm(100_000)
        port = socket.bind_to_random_port("tcp://127.0.0.1")
        pipe.send(f"tcp://127.0.0.1:{port}")
        for _ in range(ticks):
            _TICK.unpack(socket.recv())
        pipe.send(ticks)
        pipe.poll(None)  # the parent ends this process


def send(address: str, source: Source) -> int:
    sent = 0
    with zmq.Context() as context, context.socket(zmq.PUSH) as socket:
        socket.set_hwm(100_000)
        socket.connect(address)
        for batch in source.batches(1000, RACER.most):
            symbol = batch.symbol.encode()
            for time_msc, bid, ask in zip(batch.time_msc.tolist(), batch.bid, batch.ask, strict=True):
                socket.send(_TICK.pack(time_msc, bid, ask, symbol))
                sent += 1
    return sent


RACER = Racer("pyzmq", "ZeroMQ PUSH/PULL, one struct a tick", receive, send, 600_000)
