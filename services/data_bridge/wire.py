"""The contract's messages to and from the bridge's values. Columns stay bytes: no tick is touched here."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from google.protobuf.message import DecodeError, Message
from google.protobuf.unknown_fields import UnknownFieldSet
from suho.market.v1 import bridge_pb2 as pb
from suho.market.v1 import tick_pb2

from mesh.errors import MeshError, Reason
from mesh.market import Batch, TickId, codec
from services.data_bridge.domain import judgement
from services.data_bridge.domain.log import LogEnd
from services.data_bridge.domain.progress import Arrival, Refused, SymbolKey
from services.data_bridge.domain.terminal import HistoryChange, Resent, SymbolCount
from services.data_bridge.lane import Answers

_Twin = TypeVar("_Twin", bound=Message)

# Three times as long in a subject at worst: NATS ends the connection of whoever sends a longer line than 4096.
_LONGEST_NAME = 200
# Of all columns, and of a message's head.
TICK_BYTES = 56
HEAD_BYTES = 4096


@dataclass(frozen=True, slots=True)
class LaneRequest:
    """A StreamTicksRequest; `agent` is empty and `lane` 0 when it bears no hello."""

    agent: str
    lane: int
    opened: list[SymbolKey]
    closed: list[SymbolKey]
    arrivals: list[Arrival]
    counts: list[SymbolCount]
    changed: list[HistoryChange]
    resent: list[Resent]
    answers: Sequence[pb.HistoryAnswer]


def lane_request(raw: bytes, most_ticks: int) -> LaneRequest:
    """The request in `raw`.

    Raises:
        MeshError: MALFORMED_BATCH or BATCH_TOO_LARGE, with what is wrong.
    """
    message = _twin(raw)
    # Before anything is decoded: an absent column costs nothing on the wire, but `count` values here.
    ticks = sum([batch.count for batch in message.batches]) + sum([item.batch.count for item in message.resent])
    if ticks > most_ticks:
        raise MeshError(
            Reason.BATCH_TOO_LARGE, f"a message holds at most {most_ticks} ticks, this one {ticks}; send several"
        )
    return LaneRequest(
        agent=message.hello.agent,
        lane=_lane(message.hello) if message.HasField("hello") else 0,
        opened=[symbol_key(ref) for ref in message.open],
        closed=[symbol_key(ref) for ref in message.close],
        arrivals=[arrival(batch) for batch in message.batches],
        counts=[_count(item) for item in message.counts],
        changed=[_change(item) for item in message.changed],
        resent=[Resent(item.request, arrival(item.batch)) for item in message.resent],
        answers=message.answers,
    )


def _count(message: pb.SymbolCount) -> SymbolCount:
    return SymbolCount(symbol_key(message.symbol), _id(message.after), _id(message.until), message.count)


def _change(message: pb.HistoryChanged) -> HistoryChange:
    return HistoryChange(symbol_key(message.symbol), _id(message.at), message.bid, message.ask)


def _twin(raw: bytes) -> pb.StreamTicksRequestTwin:
    return in_one_piece(
        raw,
        pb.StreamTicksRequestTwin,
        pb.StreamTicksRequest,
        lambda message: [*message.batches, *(item.batch for item in message.resent)],
    )


def in_one_piece(
    raw: bytes, twin: type[_Twin], typed: type[Message], batches: Callable[[_Twin], Iterable[tick_pb2.TickBatchTwin]]
) -> _Twin:
    """`raw` with the columns of its `batches` as bytes.

    Protobuf allows an encoder to send a repeated field in several pieces, packed or not. A bytes field would show
    the last piece, or none: then the typed message is decoded, and writes each column in one piece.

    Raises:
        MeshError: MALFORMED_BATCH.
    """
    try:
        message = twin.FromString(raw)
        if message.ByteSize() == len(raw) and not any(len(UnknownFieldSet(batch)) for batch in batches(message)):
            return message
        return twin.FromString(typed.FromString(raw).SerializeToString())
    except DecodeError:
        name = typed.DESCRIPTOR.name
        raise MeshError(Reason.MALFORMED_BATCH, f"the message can not be decoded as a {name}") from None


def _lane(hello: pb.LaneHello) -> int:
    if not hello.agent:
        raise MeshError(Reason.INVALID_ARGUMENT, "hello.agent is not set; name the agent")
    if not 1 <= hello.lane <= 4:
        raise MeshError(Reason.INVALID_ARGUMENT, f"hello.lane is {hello.lane}; tick lanes are 1 to 4")
    return hello.lane


def symbol_key(ref: tick_pb2.SymbolRef, any_name: bool = False) -> SymbolKey:
    """The names in `ref`, fit for the bus; with `any_name` an empty one stands for any.

    Raises:
        MeshError: INVALID_ARGUMENT.
    """
    for name, value in (("server", ref.server), ("symbol", ref.symbol)):
        if (not value and not any_name) or len(value.encode()) > _LONGEST_NAME or "\0" in value:
            raise MeshError(
                Reason.INVALID_ARGUMENT, f"{name} of a symbol needs 1 to {_LONGEST_NAME} bytes, and no NUL among them"
            )
    return SymbolKey(ref.server, ref.symbol)


def arrival(message: tick_pb2.TickBatchTwin) -> Arrival:
    """Raises MeshError: MALFORMED_BATCH or BATCH_TOO_LARGE."""
    name = message.symbol or "(no symbol)"
    if message.HasField("quarantine") or message.HasField("correction") or message.generation:
        ours = "quarantine, generation and correction are for the bridge to set"
        raise MeshError(Reason.MALFORMED_BATCH, f"batch of {name}: {ours}")
    try:
        batch = codec.decode(message)
    except codec.MalformedBatchError as error:
        raise MeshError(Reason.MALFORMED_BATCH, f"batch of {name}: {error}") from None
    if wrong := judgement.malformation(batch):
        raise MeshError(Reason.MALFORMED_BATCH, f"batch of {name}: {wrong}")
    encoded = message.SerializeToString()
    if len(encoded) > HEAD_BYTES + len(batch) * TICK_BYTES:  # a long agent, or fields that nobody knows
        too_large = f"batch of {name}: it has {len(encoded)} bytes, more than its {len(batch)} ticks need"
        raise MeshError(Reason.BATCH_TOO_LARGE, too_large)
    return Arrival(batch, encoded, judgement.flaw(batch))


def payload(what: Arrival | Batch | Refused) -> bytes:
    """A message of the log: a TickBatch."""
    if isinstance(what, Arrival):
        return what.payload
    if isinstance(what, Batch):
        return tick_pb2.TickBatchTwin(**codec.fields(what)).SerializeToString()
    return tick_pb2.TickBatchTwin(
        server=what.server,
        symbol=what.symbol,
        agent=what.agent,
        read_unix_ns=what.read_unix_ns,
        prev=tick_id(what.prev),
        quarantine=tick_pb2.Quarantine(last=tick_id(what.last), count=what.count, reason=what.reason),
    ).SerializeToString()


def logged(raw: bytes) -> tick_pb2.TickBatchTwin:
    """A message of the log, which this or another bridge wrote."""
    return tick_pb2.TickBatchTwin.FromString(raw)


def span(message: tick_pb2.TickBatchTwin) -> tuple[TickId, TickId]:
    """The identities between which a message of the log reaches: after the first, up to the second."""
    if message.HasField("quarantine"):
        return _id(message.prev), _id(message.quarantine.last)
    return _id(message.prev), codec.decode(message).last_id


def log_end(raw: bytes, seq: int) -> LogEnd:
    message = logged(raw)
    if message.HasField("quarantine"):
        return LogEnd(seq, _id(message.quarantine.last), marker=raw)
    batch = codec.decode(message)
    return LogEnd(seq, batch.last_id, float(batch.bid[-1]), float(batch.ask[-1]))


def lane_response(answers: Answers) -> pb.StreamTicksResponse:
    return pb.StreamTicksResponse(
        welcome=[
            pb.Welcome(symbol=symbol_ref(key), last=tick_id(end.last), bid=end.bid, ask=end.ask)
            for key, end in answers.welcome
        ],
        acks=[pb.TickAck(symbol=symbol_ref(key), last=tick_id(last)) for key, last in answers.acks.items()],
        out_of_sync=[
            pb.OutOfSync(symbol=symbol_ref(key), cursor=tick_id(cursor)) for key, cursor in answers.out_of_sync.items()
        ],
        stand_by=[pb.StandBy(symbol=symbol_ref(key), holder=holder) for key, holder in answers.stand_by.items()],
        history=answers.questions,
        drain=pb.LaneDrain(reason=answers.drain) if answers.drain else None,
    )


def ticks(batch: Batch) -> Iterable[tick_pb2.Tick]:
    """One readable message a tick; for people, and for the newest of each symbol."""
    columns = {name: column.tolist() for name, column in batch.columns().items()}
    times, ordinals = columns.pop("time_msc"), columns.pop("ordinal")
    for index, identity in enumerate(zip(times, ordinals, strict=True)):
        values = {name: column[index] for name, column in columns.items()}
        yield tick_pb2.Tick(server=batch.server, symbol=batch.symbol, id=tick_id(TickId(*identity)), **values)


def symbol_ref(key: SymbolKey) -> tick_pb2.SymbolRef:
    return tick_pb2.SymbolRef(server=key.server, symbol=key.symbol)


def tick_id(value: TickId) -> tick_pb2.TickId:
    return tick_pb2.TickId(time_msc=value.time_msc, ordinal=value.ordinal)


def _id(message: tick_pb2.TickId) -> TickId:
    return TickId(message.time_msc, message.ordinal)
