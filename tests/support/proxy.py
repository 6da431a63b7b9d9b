"""A TCP proxy that can cut the connections through it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress


class CuttableProxy:
    """Passes bytes to one target until told to cut; while `silent` they vanish, as if a machine were off."""

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._open: list[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = []
        self.accepted = 0
        self.silent = False
        self.lost_bytes = 0

    @property
    def connections(self) -> int:
        return len(self._open)

    def cut_one(self) -> None:
        """Reset the oldest connection, both ways."""
        for writer in self._open.pop(0):
            writer.transport.abort()

    def cut(self, port: int) -> None:
        """Reset the connection that comes from this port."""
        pair = next(pair for pair in self._open if pair[0].get_extra_info("peername")[1] == port)
        self._open.remove(pair)
        for writer in pair:
            writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
        except OSError:
            writer.close()  # nobody listens behind: the caller sees that
            return
        pair = (writer, far_writer)
        self._open.append(pair)
        self.accepted += 1
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._pump(reader, far_writer))
                tasks.create_task(self._pump(far_reader, writer))
        finally:
            with suppress(ValueError):
                self._open.remove(pair)
            for end in pair:
                end.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):  # a cut is what this is for
            while data := await reader.read(65536):
                if self.silent:
                    self.lost_bytes += len(data)
                else:
                    writer.write(data)
                    await writer.drain()
            writer.write_eof()


@asynccontextmanager
async def cuttable_proxy(listen_port: int, target_port: int) -> AsyncIterator[CuttableProxy]:
    proxy = CuttableProxy(target_port)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", listen_port)
    async with server:
        yield proxy
        while proxy.connections:
            proxy.cut_one()
