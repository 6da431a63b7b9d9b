"""The logs of ticks: JetStream streams, declared here, read in order, purged by position."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js import api
from nats.js.errors import APIError, NotFoundError

from mesh.clock import unix_ns
from mesh.config import SettingsError
from mesh.log import get_logger
from mesh.market import subjects
from services.database.domain.log import Message
from services.database.domain.purge import LogState
from services.database.domain.resume import Bounds, LogEpoch
from services.database.log_reader import LogInterruptedError, LogReader, decode

log = get_logger(__name__)

# What is raised while NATS is away, answers late, or lost what was being read.
INTERRUPTED: tuple[type[Exception], ...] = (NatsError, OSError)

_INACTIVE_S = 60.0
_STREAM_NAME_IN_USE, _NO_ROOM = 10058, 10047


class TickLog:
    """A stream of ticks: TICKS or BACKFILL.

    Args:
        setting: The setting that gave `max_bytes`, for who is told that it does not fit.
    """

    def __init__(self, client: Client, stream: str, max_bytes: int, setting: str) -> None:
        self._client = client
        self._stream = client.jetstream()
        self.name = stream
        self._max_bytes = max_bytes
        self._setting = setting
        self._metadata = asyncio.Lock()

    async def declare(self) -> LogEpoch:
        """Make the stream when it is missing, bring its bounds up to date, and give its epoch.

        Raises:
            SettingsError: NATS has no room for `max_bytes`.
            LogInterruptedError: the stream there is not ours.
        """
        try:
            info = await self._stream.stream_info(self.name)
        except NotFoundError:
            await self._create()
            info = await self._stream.stream_info(self.name)
        epoch = self._epoch(info.config)
        if info.config.max_bytes != self._max_bytes:
            await self._fitting(self._stream.update_stream(info.config.evolve(max_bytes=self._max_bytes)))
        return epoch

    async def renew(self, start: int) -> LogEpoch:
        """A new epoch, which begins behind message `start`."""
        async with self._metadata:
            config = (await self._stream.stream_info(self.name)).config
            purged = min(self._epoch(config).purged, start)
            await self._stream.update_stream(config.evolve(metadata=_metadata(LogEpoch(unix_ns(), start, purged))))
        return await self.declare()

    async def purging(self, epoch: int, up_to: int) -> None:
        """Say, before it is done, that messages up to `up_to` are stored by everyone and may go.

        Raises:
            LogInterruptedError: the log has another epoch by now.
        """
        async with self._metadata:
            config = (await self._stream.stream_info(self.name)).config
            known = self._epoch(config)
            if known.number != epoch:
                raise LogInterruptedError(f"stream {self.name} got a new epoch")
            await self._stream.update_stream(config.evolve(metadata=_metadata(known._replace(purged=up_to))))

    async def state(self) -> LogState:
        """Epoch, bounds and size.

        Raises:
            LogInterruptedError: the stream there is not ours.
        """
        info = await self._stream.stream_info(self.name)
        epoch = self._epoch(info.config)
        return LogState(
            epoch.number, *_bounds(info.state), info.state.bytes, self._max_bytes, epoch.purged, epoch.start
        )

    async def bounds(self) -> Bounds:
        """Numbers of the first and the last message; (n + 1, n) when it holds none."""
        return _bounds((await self._stream.stream_info(self.name)).state)

    async def message_from(self, seq: int) -> Message | None:
        """The first message whose number is `seq` or higher; None when there is none."""
        try:
            found = await self._stream.get_msg(self.name, max(seq, 1), subject=">", next=True)
        except NotFoundError:
            return None
        return decode(found.seq or 0, found.subject or "", found.data or b"")

    @asynccontextmanager
    async def read(self, first_seq: int, max_bytes: int) -> AsyncIterator[LogReader]:
        """Read from `first_seq` on; about `max_bytes` are fetched ahead."""
        config = api.ConsumerConfig(
            deliver_policy=api.DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=first_seq,
            ack_policy=api.AckPolicy.NONE,
            mem_storage=True,
            inactive_threshold=_INACTIVE_S,
            num_replicas=1,
        )
        consumer = await self._stream.add_consumer(self.name, config)
        reader = LogReader(self._client, self.name, consumer.name, max_bytes)
        inbox = self._client.new_inbox()
        subscription = await self._client.subscribe(inbox, cb=reader.receive)
        try:
            await reader.start(inbox)
            yield reader
        finally:
            if self._client.is_connected:
                await subscription.unsubscribe()

    async def _create(self) -> None:
        config = api.StreamConfig(
            name=self.name,
            subjects=subjects.stream_subjects(self.name),
            storage=api.StorageType.FILE,
            discard=api.DiscardPolicy.NEW,
            max_age=0,
            max_bytes=self._max_bytes,
            allow_direct=True,
            metadata=_metadata(LogEpoch(unix_ns(), 0)),
        )
        try:
            await self._fitting(self._stream.add_stream(config))
        except APIError as error:
            if error.err_code != _STREAM_NAME_IN_USE:  # another instance was faster
                raise
        else:
            log.info("log made", log=self.name, max_bytes=self._max_bytes)

    async def _fitting(self, change: Awaitable[object]) -> None:
        try:
            await change
        except APIError as error:
            if error.err_code == _NO_ROOM:
                raise SettingsError(
                    f"setting '{self._setting}': NATS has no room for {self._max_bytes} bytes; give less, or NATS more"
                ) from None
            raise

    def _epoch(self, config: api.StreamConfig) -> LogEpoch:
        metadata = config.metadata or {}
        number = metadata.get(subjects.EPOCH_METADATA, "")
        others = [metadata.get(name, "0") for name in (subjects.EPOCH_START_METADATA, subjects.PURGED_METADATA)]
        if not all(text.isdecimal() for text in (number, *others)):
            raise LogInterruptedError(
                f"stream {self.name} bears no {subjects.EPOCH_METADATA}: another program made it; remove it"
            )
        return LogEpoch(int(number), *map(int, others))


def _metadata(epoch: LogEpoch) -> dict[str, str]:
    """Epochs are nanoseconds, so that no two streams share one."""
    return {
        subjects.EPOCH_METADATA: str(epoch.number),
        subjects.EPOCH_START_METADATA: str(epoch.start),
        subjects.PURGED_METADATA: str(epoch.purged),
    }


def _bounds(state: api.StreamState) -> Bounds:
    return Bounds(state.first_seq if state.messages else state.last_seq + 1, state.last_seq)
