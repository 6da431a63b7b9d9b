"""The log of one symbol's live ticks, looked at from outside."""

from google.protobuf.message import DecodeError

from mesh.market import TickId
from mesh.market.codec import MalformedBatchError
from services.data_bridge import wire
from services.data_bridge.domain.history import Newest
from services.data_bridge.domain.log import LogUnavailableError
from services.data_bridge.domain.progress import SymbolKey
from services.data_bridge.jetstream import TickLog
from services.data_bridge.tick_message import UnreadableError, read_message

_LAST_ORDINAL = 2**32 - 1


class LoggedTicks:
    """Implements `domain.history.SymbolLog`."""

    def __init__(self, ticks: TickLog) -> None:
        self._ticks = ticks

    async def newest(self, key: SymbolKey) -> Newest | None:
        raw = await self._ticks.newest(key)
        if raw is None:
            return None
        assert raw.seq is not None
        assert raw.time is not None
        try:
            message = wire.logged(raw.data or b"")
            _, last = wire.span(message)
        except (DecodeError, MalformedBatchError) as error:
            raise LogUnavailableError(f"message {raw.seq} of the log can not be read: {error}") from None
        return Newest(raw.seq, last, message.read_unix_ns, int(raw.time.timestamp() * 1e6) * 1000)

    async def count(self, key: SymbolKey, from_msc: int, to_msc: int) -> int:
        ticks = 0
        async for logged in self._ticks.after(key, TickId(from_msc - 1, _LAST_ORDINAL)):
            try:
                message = read_message(key, logged.payload)
            except UnreadableError:
                continue
            if message.prev.time_msc >= to_msc:
                break
            if not message.ticks:
                continue
            if message.prev.time_msc >= from_msc and message.last.time_msc < to_msc:
                ticks += message.ticks
                continue
            times = message.decode().time_msc
            ticks += int(((times >= from_msc) & (times < to_msc)).sum())
        return ticks
