"""One remote call a tick over RPyC: the transport of mt5linux."""

from typing import Any

import rpyc
from rpyc.utils.server import OneShotServer

from bench.race import Racer
from bench.source import Source


def receive(pipe: Any, ticks: int) -> None:
    class Ticks(rpyc.Service):  # type: ignore[misc]  # rpyc has no types
        count = 0

        def exposed_tick(self, symbol: str, time_msc: int, bid: float, ask: float) -> None:
            self.count += 1
            if self.count == ticks:
                pipe.send(self.count)

    server = OneShotServer(Ticks, hostname="127.0.0.1", port=0)
    server.listener.listen()  # it would only when it is started, which is after its address is told
    pipe.send(str(server.port))
    server.start()


def send(address: str, source: Source) -> int:
    sent = 0
    with rpyc.connect("127.0.0.1", int(address)) as connection:
        tick = connection.root.tick
        for batch in source.batches(1000, RACER.most):
            for time_msc, bid, ask in zip(batch.time_msc.tolist(), batch.bid.tolist(), batch.ask.tolist(), strict=True):
                tick(batch.symbol, time_msc, bid, ask)
                sent += 1
    return sent


RACER = Racer("rpyc", "RPyC, one call a tick (mt5linux's transport)", receive, send, 30_000)
