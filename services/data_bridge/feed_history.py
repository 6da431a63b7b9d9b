"""What is past, for subscribers: the log, and the store for what has left it."""

from typing import Any, NamedTuple, Protocol

import grpc
from suho.database.v1 import tick_service_pb2 as pb
from suho.database.v1 import tick_service_pb2_grpc

from mesh.errors import MeshError
from mesh.market import TickId
from mesh.market.subjects import tick_subject
from services.data_bridge import wire
from services.data_bridge.domain.log import LogUnavailableError
from services.data_bridge.domain.progress import SymbolKey
from services.data_bridge.jetstream import TickLog
from services.data_bridge.tick_message import (
    TickMessage,
    UnreadableError,
    UnreadableMessages,
    parse_key,
    read_message,
    stored_message,
)

_GET_TICKS = "/suho.database.v1.TickService/GetTicks"
# Three megabytes at most, held until the subscriber has read them; no query waits for it meanwhile.
_STORE_TICKS = 50_000
_TIMEOUT_S = 30.0


class Past(NamedTuple):
    """Messages in order; where the log is to be read on (0: nowhere yet); whether nothing followed them."""

    messages: list[TickMessage]
    seq: int
    ended: bool


class History(Protocol):
    """Pages of a symbol's past. Everything raises LogUnavailableError."""

    async def logged(self, key: SymbolKey, cursor: TickId, seq: int) -> Past:
        """Of the log: from message `seq` on, or (0) from the first that reaches beyond `cursor`."""

    async def stored(self, key: SymbolKey, cursor: TickId) -> Past:
        """Of the store: what follows on `cursor`."""

    async def in_log(self, key: SymbolKey) -> list[SymbolKey]:
        """The symbols of which the log holds ticks, an empty name standing for any."""

    async def known(self, key: SymbolKey) -> list[SymbolKey]:
        """Those and the ones of which the store does."""

    async def newest_msc(self, key: SymbolKey) -> int:
        """The time of the newest tick that the log holds; 0: none."""


class TickHistory:
    """Implements `History`."""

    def __init__(self, ticks: TickLog, database: grpc.aio.Channel, unreadable: UnreadableMessages) -> None:
        self._log = ticks
        self._unreadable = unreadable
        self._ticks: tick_service_pb2_grpc.TickServiceAsyncStub = tick_service_pb2_grpc.TickServiceStub(database)
        self._get_ticks: Any = database.unary_stream(
            _GET_TICKS,
            request_serializer=pb.GetTicksRequest.SerializeToString,
            response_deserializer=pb.GetTicksResponseTwin.FromString,
        )

    async def logged(self, key: SymbolKey, cursor: TickId, seq: int) -> Past:
        seq = seq or await self._log.position(key, cursor)
        page = await self._log.read(key, seq)
        messages: list[TickMessage] = []
        for logged in page.messages:
            seq = logged.seq + 1
            try:
                messages.append(read_message(key, logged.payload))
            except UnreadableError as error:
                self._unreadable.skip(tick_subject(*key), error)
        return Past(messages, seq, page.ended)

    async def stored(self, key: SymbolKey, cursor: TickId) -> Past:
        request = pb.GetTicksRequest(
            symbol=wire.symbol_ref(key),
            from_msc=cursor.time_msc,
            after=wire.tick_id(cursor),
            limit=_STORE_TICKS,
        )
        messages: list[TickMessage] = []
        rows = 0
        call = self._get_ticks(request, timeout=_TIMEOUT_S)
        try:
            async for response in call:
                rows += response.batch.count
                if (message := stored_message(key, response.batch, cursor)) is not None:
                    messages.append(message)
                    cursor = message.last
        except grpc.aio.AioRpcError as error:
            raise LogUnavailableError(f"the database does not give its ticks: {MeshError.of(error)}") from None
        except UnreadableError as error:
            raise LogUnavailableError(f"the database gives ticks that can not be read: {error}") from None
        finally:
            call.cancel()
        return Past(messages, 0, ended=rows < _STORE_TICKS)

    async def in_log(self, key: SymbolKey) -> list[SymbolKey]:
        found: list[SymbolKey] = []
        for subject in await self._log.subjects(tick_subject(*key)):
            try:
                found.append(parse_key(subject))
            except UnreadableError as error:
                self._unreadable.skip(subject, error)
        return found

    async def known(self, key: SymbolKey) -> list[SymbolKey]:
        found = await self.in_log(key)
        try:
            answer = await self._ticks.ListSymbols(pb.ListSymbolsRequest(), timeout=_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            raise LogUnavailableError(f"the database does not list its symbols: {MeshError.of(error)}") from None
        listed = (SymbolKey(item.symbol.server, item.symbol.symbol) for item in answer.symbols)
        found += (one for one in listed if (key.server or one.server, key.symbol or one.symbol) == one)
        return sorted(set(found))

    async def newest_msc(self, key: SymbolKey) -> int:
        end = await self._log.end(key)
        return end.last.time_msc if end else 0
