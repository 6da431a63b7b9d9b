"""TraceSymbol, AuditTicks and ImportTicks: what is past, looked at, compared and added to."""

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Any

import grpc
from suho.market.v1 import bridge_pb2 as pb
from suho.market.v1 import tick_pb2

from mesh.draining import Draining
from mesh.errors import MeshError, Reason
from services.data_bridge import wire
from services.data_bridge.audit import Auditor
from services.data_bridge.domain.audit import days
from services.data_bridge.domain.history import LaterTicks, SymbolLog
from services.data_bridge.domain.log import LogUnavailableError, Stored
from services.data_bridge.domain.progress import SymbolKey
from services.data_bridge.history_messages import finding_message, imported, position_message
from services.data_bridge.servicers.service import Handlers
from services.data_bridge.terminals import AgentTerminals

_END_OF_TIME_MSC = 4_102_444_800_000


class TraceServicer:
    """Where one symbol stands. `standing_by`: the agents that wait for it at this bridge."""

    def __init__(
        self,
        terminals: AgentTerminals,
        log: SymbolLog,
        stored: Stored,
        standing_by: Callable[[SymbolKey], Sequence[str]],
    ) -> None:
        self._terminals = terminals
        self._log = log
        self._stored = stored
        self._standing_by = standing_by

    def handlers(self) -> Handlers:
        return {
            "TraceSymbol": grpc.unary_unary_rpc_method_handler(
                self.TraceSymbol, pb.TraceSymbolRequest.FromString, pb.TraceSymbolResponse.SerializeToString
            ),
        }

    async def TraceSymbol(self, request: pb.TraceSymbolRequest, _: Any) -> pb.TraceSymbolResponse:
        key = wire.symbol_key(request.symbol)
        source, position = await self._terminals.trace(key)
        answer = pb.TraceSymbolResponse(
            agent=source.agent if source else "",
            bridge=source.bridge if source else "",
            standing_by=self._standing_by(key),
            position=position_message(position) if position else None,
        )
        try:
            newest = await self._log.newest(key)
            cursor = newest.last if newest else (await self._stored.end(key)).last
        except LogUnavailableError as error:
            raise MeshError(Reason.LOG_UNAVAILABLE, f"the log can not be asked: {error}; try again") from None
        # Whichever bridge holds the source: what is in the log is its cursor.
        answer.cursor.CopyFrom(wire.tick_id(cursor))
        if newest is not None:
            answer.log_seq = newest.seq
            answer.log_last.CopyFrom(wire.tick_id(newest.last))
            answer.read_unix_ns = newest.read_unix_ns
            answer.logged_unix_ns = newest.logged_unix_ns
        return answer


class AuditServicer:
    """`sources`: every symbol that an agent streams, through whatever bridge."""

    def __init__(self, auditor: Auditor, sources: Callable[[], Iterable[SymbolKey]], draining: Draining) -> None:
        self._auditor = auditor
        self._sources = sources
        self._draining = draining

    def handlers(self) -> Handlers:
        return {
            "AuditTicks": grpc.unary_stream_rpc_method_handler(
                self.AuditTicks, pb.AuditTicksRequest.FromString, pb.AuditTicksResponse.SerializeToString
            ),
        }

    async def AuditTicks(self, request: pb.AuditTicksRequest, _: Any) -> AsyncIterator[pb.AuditTicksResponse]:
        if not 0 <= request.from_msc < request.to_msc <= _END_OF_TIME_MSC:
            backwards = "from_msc must be server time in milliseconds, and before to_msc"
            raise MeshError(Reason.INVALID_ARGUMENT, backwards)
        for key in self._symbols(request.symbols):
            with self._auditor.claim(key):
                for day in days(request.from_msc, request.to_msc):
                    if self._draining.is_set():
                        raise MeshError(Reason.SHUTTING_DOWN, "this bridge drains; audit through another")
                    yield finding_message(await self._auditor.day(key, day, request.heal))

    def _symbols(self, refs: Sequence[tick_pb2.SymbolRef]) -> list[SymbolKey]:
        """Each once. Raises MeshError NO_SOURCE where an empty name stands for nothing."""
        streamed = sorted(self._sources())
        if not refs:
            return streamed
        found: dict[SymbolKey, None] = {}
        for ref in refs:
            asked = wire.symbol_key(ref, any_name=True)
            matching = [asked] if all(asked) else [key for key in streamed if _matches(asked, key)]
            if not matching:
                nobody = f"no agent streams {asked.symbol or 'any symbol'} now; is the name spelled as the broker does?"
                raise MeshError(Reason.NO_SOURCE, nobody)
            found.update(dict.fromkeys(matching))
        return list(found)


class ImportServicer:
    """`message_ticks` is the most that one message may hold."""

    def __init__(self, later: LaterTicks, message_ticks: int) -> None:
        self._later = later
        self._message_ticks = message_ticks

    def handlers(self) -> Handlers:
        return {
            # Undecoded: which decoding fits is for `wire` to see.
            "ImportTicks": grpc.stream_stream_rpc_method_handler(
                self.ImportTicks, None, pb.ImportTicksResponse.SerializeToString
            ),
        }

    async def ImportTicks(self, requests: AsyncIterator[bytes], _: Any) -> AsyncIterator[pb.ImportTicksResponse]:
        async for raw in requests:  # one at a time: what waits, waits in the caller
            appended = await self._later.add(imported(raw, self._message_ticks))
            yield pb.ImportTicksResponse(ticks=appended.ticks, quarantined=appended.quarantined)


def _matches(asked: SymbolKey, key: SymbolKey) -> bool:
    return asked.server in ("", key.server) and asked.symbol in ("", key.symbol)
