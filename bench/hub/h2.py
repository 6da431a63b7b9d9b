"""gRPC for thousands of clients in one process, at a few microseconds a message.

With gRPC's own library on this side the clients would take longer than the server under test, on the same two cores,
and be what is measured. So this is HTTP/2 by hand, as much of it as gRPC asks of a client on loopback: many calls on
one connection, nothing compressed, headers of the server not read.
"""

import asyncio
import struct
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from bench.race import NoShowError

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RESET, _SETTINGS, _PING, _GOAWAY, _WINDOW = 0, 1, 3, 4, 6, 7, 8
_LAST = _ACK = 0x1
_END_HEADERS = 0x4
_CANCELLED = (8).to_bytes(4, "big")
_HEAD = struct.Struct(">BHBBI")
_MESSAGE = struct.Struct(">BHBBIBI")
_FIRST_WINDOW = 65_535
_WIDEST = 2**31 - 1
# No header table, so that trailers can be read without one; and streams that never wait for us.
_OUR_SETTINGS = struct.pack(">HIHI", 1, 0, 4, _WIDEST)

Hear = Callable[[bytes, int], None]
"""Takes a message, and when its bytes were read (nanoseconds, `time.perf_counter_ns`)."""


class Call:
    """One call: messages out through `send`, messages in to `hear`; `over` is told how it ended.

    A message is serialised Protobuf, at most 16 KiB.
    """

    __slots__ = ("_connection", "_number", "_rest", "hear", "over")

    def __init__(self, connection: "Connection", number: int, hear: Hear, over: Callable[[str], None]) -> None:
        self._connection = connection
        self._number = number
        self._rest = b""
        self.hear = hear
        self.over = over

    def send(self, message: bytes, last: bool = False) -> None:
        """Write a message; `last`: and nothing after it."""
        size = len(message) + 5
        head = _MESSAGE.pack(size >> 16, size & 0xFFFF, _DATA, _LAST * last, self._number, 0, len(message))
        self._connection.write(head + message, size)

    def cancel(self) -> None:
        """End it as a client that vanishes does."""
        self._connection.forget(self._number)
        self._connection.write(_frame(_RESET, 0, self._number, _CANCELLED), 0)

    def arrived(self, payload: bytes, now: int) -> None:
        rest = self._rest + payload if self._rest else payload
        at = 0
        while len(rest) >= at + 5 and len(rest) >= (end := at + 5 + int.from_bytes(rest[at + 1 : at + 5], "big")):
            self.hear(rest[at + 5 : end], now)
            at = end
        self._rest = rest[at:]


class Connection(asyncio.Protocol):
    """One connection to a gRPC server on loopback."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._unread = b""
        self._unsent: list[bytes] = []
        self._held: deque[tuple[bytes, int]] = deque()
        self._window = _FIRST_WINDOW
        self._calls: dict[int, Call] = {}
        self._next = 1
        self._headers: dict[str, bytes] = {}

    def call(self, path: str, hear: Hear, over: Callable[[str], None]) -> Call:
        """Begin a call of `path` ("/package.Service/Method")."""
        if path not in self._headers:
            self._headers[path] = _request_headers(path)
        call = self._calls[self._next] = Call(self, self._next, hear, over)
        self.write(_frame(_HEADERS, _END_HEADERS, self._next, self._headers[path]), 0)
        self._next += 2
        return call

    async def ask(self, path: str, message: bytes) -> bytes:
        """A unary call.

        Raises:
            NoShowError: it failed.
        """
        answer: asyncio.Future[bytes] = self._loop.create_future()

        def hear(reply: bytes, _now: int) -> None:
            if not answer.done():
                answer.set_result(reply)

        def over(why: str) -> None:
            if not answer.done():
                answer.set_exception(NoShowError(f"{path} failed: {why}"))

        self.call(path, hear, over).send(message, last=True)
        return await answer

    def write(self, frame: bytes, cost: int) -> None:
        """Send, in order; `cost` is what it takes of the window that the server grants."""
        if self._held or cost > self._window:
            self._held.append((frame, cost))
            return
        self._window -= cost
        if not self._unsent:
            self._loop.call_soon(self._flush)
        self._unsent.append(frame)

    def forget(self, number: int) -> None:
        self._calls.pop(number, None)

    def close(self) -> None:
        self._calls.clear()
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        widened = (_WIDEST - _FIRST_WINDOW).to_bytes(4, "big")
        transport.write(PREFACE + _frame(_SETTINGS, 0, 0, _OUR_SETTINGS) + _frame(_WINDOW, 0, 0, widened))

    def connection_lost(self, exc: Exception | None) -> None:
        calls, self._calls = self._calls, {}
        for call in calls.values():
            call.over(f"the connection ended ({exc or 'closed by the server'})")

    def data_received(self, data: bytes) -> None:
        now = time.perf_counter_ns()
        unread, at = self._unread + data, 0
        while len(unread) >= at + 9:
            high, low, kind, flags, number = _HEAD.unpack_from(unread, at)
            end = at + 9 + (high << 16 | low)
            if end > len(unread):
                break
            self._frame(kind, flags, number, unread[at + 9 : end], now)
            at = end
        self._unread = unread[at:]

    def _frame(self, kind: int, flags: int, number: int, payload: bytes, now: int) -> None:
        if kind == _DATA:
            if call := self._calls.get(number):
                call.arrived(payload, now)
        elif kind == _WINDOW and number == 0:
            self._window += int.from_bytes(payload, "big")
            self._unhold()
        elif kind in (_PING, _SETTINGS) and not flags & _ACK:
            self.write(_frame(kind, _ACK, 0, payload if kind == _PING else b""), 0)
        elif kind == _GOAWAY:
            self.connection_lost(ConnectionError(f"the server went away: {payload[8:].decode(errors='replace')}"))
        ends = kind == _RESET or (kind in (_DATA, _HEADERS) and flags & _LAST)
        if ends and (call := self._calls.pop(number, None)):
            call.over(_readable(payload) if kind == _HEADERS else "reset")

    def _unhold(self) -> None:
        while self._held and self._held[0][1] <= self._window:
            frame, cost = self._held.popleft()
            held, self._held = self._held, deque()
            self.write(frame, cost)
            self._held = held

    def _flush(self) -> None:
        if self._transport is not None:
            self._transport.write(b"".join(self._unsent))
        self._unsent.clear()


@asynccontextmanager
async def connections(port: int, count: int) -> AsyncIterator[list[Connection]]:
    """So many connections to 127.0.0.1:`port`, for as long as the block runs."""
    loop = asyncio.get_running_loop()
    opened = [(await loop.create_connection(Connection, "127.0.0.1", port))[1] for _ in range(count)]
    try:
        yield opened
    finally:
        for connection in opened:
            connection.close()


def _frame(kind: int, flags: int, number: int, payload: bytes) -> bytes:
    return _HEAD.pack(len(payload) >> 16, len(payload) & 0xFFFF, kind, flags, number) + payload


def _request_headers(path: str) -> bytes:
    """HPACK without its tables but for the names in the static one, without Huffman's code."""
    return (
        b"\x83\x86"  # :method POST, :scheme http
        + b"\x04" + _string(path)
        + b"\x01" + _string("localhost")  # :authority
        + b"\x0f\x10" + _string("application/grpc")  # content-type
        + b"\x00" + _string("te") + _string("trailers")
    )  # fmt: skip


def _string(text: str) -> bytes:
    return bytes([len(text)]) + text.encode()


def _readable(headers: bytes) -> str:
    """What can be read of a header block without decoding it: gRPC's core sends its texts as they are."""
    return "".join(chr(byte) if 32 <= byte < 127 else " " for byte in headers)
