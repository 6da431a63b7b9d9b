"""The log of ticks in NATS JetStream: the stream TICKS, which the database service declares."""

from collections.abc import AsyncIterator

import nats.errors
from google.protobuf.message import DecodeError
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import RawStreamMsg, StreamInfo
from nats.js.errors import APIError, NotFoundError

from mesh.confirmed_publish import ConfirmedPublish
from mesh.market import TickId
from mesh.market.codec import MalformedBatchError
from mesh.market.subjects import TICKS_STREAM, tick_subject
from services.data_bridge import wire
from services.data_bridge.direct_get import LoggedMessage, LogPage, read_page
from services.data_bridge.domain.log import LogEnd, LogMovedError, LogUnavailableError
from services.data_bridge.domain.progress import SymbolKey
from services.data_bridge.tick_message import UnreadableError, read_message

_EXPECTED_SEQ = "Nats-Expected-Last-Subject-Sequence"
_EXPECTED_STREAM = "Nats-Expected-Stream"
_WRONG_LAST_SEQUENCE = (10071, 10164)
_NO_MESSAGE = 10037


class TickLog:
    """Implements `domain.log.Log`; asks the stream's leader, so that it never hears an old answer."""

    def __init__(self, bus: Client, publish_timeout_s: float) -> None:
        self._bus = bus
        self._timeout_s = publish_timeout_s
        self._publish = ConfirmedPublish(bus, publish_timeout_s)
        self._js: JetStreamContext = bus.jetstream(timeout=publish_timeout_s)

    @property
    def most_ticks(self) -> int:
        """Ticks that fit into one message."""
        return (self._bus.max_payload - wire.HEAD_BYTES) // wire.TICK_BYTES

    async def end(self, key: SymbolKey) -> LogEnd | None:
        message = await self._get(subject=tick_subject(*key))
        if message is None:
            return None
        assert message.seq is not None
        try:
            return wire.log_end(message.data or b"", message.seq)
        except (DecodeError, MalformedBatchError) as error:
            unreadable = f"message {message.seq} of {TICKS_STREAM}, which no bridge wrote, can not be read; remove it"
            raise LogUnavailableError(f"{unreadable} ({error})") from None

    async def newest(self, key: SymbolKey) -> RawStreamMsg | None:
        """The symbol's newest message as it is. Raises LogUnavailableError."""
        return await self._get(subject=tick_subject(*key))

    async def append(self, key: SymbolKey, payload: bytes, expected_seq: int) -> int:
        if not self._bus.is_connected:
            raise LogUnavailableError("NATS is away")
        headers = {_EXPECTED_SEQ: str(expected_seq), _EXPECTED_STREAM: TICKS_STREAM}
        try:
            return await self._publish(tick_subject(*key), payload, headers)
        except APIError as error:
            if error.err_code in _WRONG_LAST_SEQUENCE:
                raise LogMovedError from None
            raise LogUnavailableError(f"the log refused a message: {error.description}") from None
        except nats.errors.MaxPayloadError:
            raise  # no waiting helps: the limits that open_bridge checks do not hold
        except (nats.errors.Error, TimeoutError, OSError) as error:
            raise LogUnavailableError(f"the log did not confirm a message: {_text(error)}") from None

    async def after(self, key: SymbolKey, cursor: TickId) -> AsyncIterator[LoggedMessage]:
        """The symbol's messages that reach beyond `cursor`, oldest first. Raises LogUnavailableError."""
        seq, ended = await self.position(key, cursor), False
        while not ended:
            page = await self.read(key, seq)
            for message in page.messages:
                yield message
                seq = message.seq + 1
            ended = page.ended

    async def position(self, key: SymbolKey, cursor: TickId) -> int:
        """A number from which on `read` gives the messages that reach beyond `cursor`. Raises LogUnavailableError.

        Identities ascend with the log's numbers, so it is found by halving.
        """
        subject = tick_subject(*key)
        state = (await self._info()).state
        low, high = state.first_seq, state.last_seq + 1
        while low < high:
            middle = (low + high) // 2
            found = await self._readable(key, subject, middle)
            if found is None or found.last > cursor:
                high = middle
            else:
                low = found.seq + 1
        return low

    async def read(self, key: SymbolKey, first_seq: int) -> LogPage:
        """The symbol's messages from number `first_seq` on, as many as come at once. Raises LogUnavailableError."""
        if not self._bus.is_connected:
            raise LogUnavailableError("NATS is away")
        try:
            return await read_page(self._bus, TICKS_STREAM, tick_subject(*key), first_seq, self._timeout_s)
        except (nats.errors.Error, TimeoutError, OSError) as error:
            raise LogUnavailableError(_text(error)) from None

    async def subjects(self, subject: str) -> list[str]:
        """Those of `subject` (with wildcards) that have a message in the log. Raises LogUnavailableError."""
        return list((await self._info(subject)).state.subjects or ())

    async def _info(self, subject: str | None = None) -> StreamInfo:
        try:
            return await self._js.stream_info(TICKS_STREAM, subjects_filter=subject)
        except (nats.errors.Error, TimeoutError, OSError) as error:
            raise LogUnavailableError(_text(error)) from None

    async def _readable(self, key: SymbolKey, subject: str, first_seq: int) -> LogEnd | None:
        """The symbol's first message from number `first_seq` on that can be read."""
        while message := await self._get(seq=first_seq, subject=subject, next=True):
            assert message.seq is not None
            try:
                return LogEnd(message.seq, read_message(key, message.data or b"").last)
            except UnreadableError:
                first_seq = message.seq + 1
        return None

    async def _get(self, subject: str, seq: int | None = None, next: bool = False) -> RawStreamMsg | None:
        if not self._bus.is_connected:
            raise LogUnavailableError("NATS is away")
        try:
            return await self._js.get_msg(TICKS_STREAM, seq=seq, subject=subject, next=next)
        except NotFoundError as error:
            if error.err_code == _NO_MESSAGE:
                return None
            raise LogUnavailableError("the stream TICKS is not there; the database service declares it") from None
        except (nats.errors.Error, TimeoutError, OSError) as error:
            raise LogUnavailableError(_text(error)) from None


def _text(error: BaseException) -> str:
    return str(error) or type(error).__name__
