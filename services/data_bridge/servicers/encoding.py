"""What subscribers are sent."""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from suho.market.v1 import bar_pb2, tick_pb2
from suho.market.v1 import bridge_pb2 as pb

from mesh.market import bar_codec
from services.data_bridge import wire
from services.data_bridge.bar_stream import SymbolBars
from services.data_bridge.domain.progress import SymbolKey

_NONE: Mapping[SymbolKey, int] = MappingProxyType({})
_BATCHES_TAG = bytes([pb.SubscribeResponse.BATCHES_FIELD_NUMBER << 3 | 2])


def subscribe_response(
    payloads: Iterable[bytes], live: Sequence[SymbolKey] = (), missed: Mapping[SymbolKey, int] = _NONE
) -> bytes:
    """A SubscribeResponse whose batches are `payloads` as they are: nothing is decoded or encoded anew."""
    parts = [part for payload in payloads for part in (_BATCHES_TAG, _varint(len(payload)), payload)]
    if live or missed:
        rest = pb.SubscribeResponse(
            live=[wire.symbol_ref(key) for key in live],
            missed=[pb.MissedTicks(symbol=wire.symbol_ref(key), ticks=ticks) for key, ticks in missed.items()],
        )
        parts.append(rest.SerializeToString())
    return b"".join(parts)


def bar_messages(found: SymbolBars, spec: bar_pb2.BarSpec) -> Iterable[bar_pb2.Bar]:
    symbol = tick_pb2.SymbolRef(server=found.key.server, symbol=found.key.symbol)
    for values in bar_codec.each(found.bars):
        yield bar_pb2.Bar(symbol=symbol, spec=spec, **values)


def _varint(value: int) -> bytes:
    """Protobuf's encoding of a length."""
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
