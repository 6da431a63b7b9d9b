"""The contract's messages about history, to and from the domain's values."""

from suho.market.v1 import bridge_pb2 as pb
from suho.market.v1 import tick_pb2

from mesh.errors import MeshError, Reason
from mesh.market import Batch, TickId
from mesh.market.digest import Digest
from services.data_bridge import wire
from services.data_bridge.domain.audit import Finding, State
from services.data_bridge.domain.history import Position

_STATES = {
    State.MATCHES: pb.AUDIT_STATE_MATCHES,
    State.DIFFERS: pb.AUDIT_STATE_DIFFERS,
    State.HEALED: pb.AUDIT_STATE_HEALED,
    State.CORRECTED: pb.AUDIT_STATE_CORRECTED,
    State.UNANSWERED: pb.AUDIT_STATE_UNANSWERED,
}


def digest(message: tick_pb2.TickDigest) -> Digest:
    return Digest(message.from_msc, message.to_msc, message.count, message.hash)


def position(message: pb.AgentPosition) -> Position:
    return Position(
        terminal=_id(message.terminal),
        read=_id(message.read),
        sent=_id(message.sent),
        acknowledged=_id(message.acknowledged),
        connected=message.terminal_connected,
        lane=message.lane,
    )


def position_message(value: Position) -> pb.AgentPosition:
    return pb.AgentPosition(
        terminal=wire.tick_id(value.terminal),
        read=wire.tick_id(value.read),
        sent=wire.tick_id(value.sent),
        acknowledged=wire.tick_id(value.acknowledged),
        terminal_connected=value.connected,
        lane=value.lane,
    )


def finding_message(finding: Finding) -> pb.AuditTicksResponse:
    return pb.AuditTicksResponse(
        symbol=wire.symbol_ref(finding.key),
        from_msc=finding.from_msc,
        to_msc=finding.to_msc,
        state=_STATES[finding.state],
        terminal_ticks=finding.terminal_ticks,
        log_ticks=finding.log_ticks,
        stored_ticks=finding.stored_ticks,
        differing=[
            tick_pb2.TickDigest(from_msc=item.from_msc, to_msc=item.to_msc, count=item.count, hash=item.hash)
            for item in finding.differing
        ],
        healed_ticks=finding.healed_ticks,
        generation=finding.generation,
        detail=finding.detail,
    )


def imported(raw: bytes, most_ticks: int) -> list[Batch]:
    """The batches of an ImportTicksRequest.

    Raises:
        MeshError: MALFORMED_BATCH, BATCH_TOO_LARGE or INVALID_ARGUMENT, with what is wrong.
    """
    message = wire.in_one_piece(raw, pb.ImportTicksRequestTwin, pb.ImportTicksRequest, lambda request: request.batches)
    ticks = sum(batch.count for batch in message.batches)
    if ticks > most_ticks:
        raise MeshError(
            Reason.BATCH_TOO_LARGE, f"a message holds at most {most_ticks} ticks, this one {ticks}; send several"
        )
    for batch in message.batches:
        wire.symbol_key(tick_pb2.SymbolRef(server=batch.server, symbol=batch.symbol))
    return [wire.arrival(batch).batch for batch in message.batches]


def _id(message: tick_pb2.TickId) -> TickId:
    return TickId(message.time_msc, message.ordinal)
