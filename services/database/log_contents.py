"""What a stream of ticks holds, and taking it out: what the purge asks of JetStream."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime

from nats.aio.client import Client
from nats.js import api
from nats.js.client import JetStreamContext
from nats.js.errors import NotFoundError

_INACTIVE_S = 10.0
_ANSWER_S = 5.0


class LogContents:
    """A stream's subjects and the numbers of its messages; never their data."""

    def __init__(self, client: Client, stream: str) -> None:
        self._stream = client.jetstream()
        self._name = stream

    async def first_since(self, unix_ms: int) -> int | None:
        """The number of the first message that was logged at or after a time; None when none was."""
        time = datetime.fromtimestamp(unix_ms / 1000, UTC)
        async with self._numbers(deliver_policy=api.DeliverPolicy.BY_START_TIME, opt_start_time=time) as numbers:
            found = await numbers.fetch(1)
        return found[0][1] if found else None

    async def newest_of_each(self) -> dict[str, tuple[int, int]]:
        """By subject: how many messages it has, and the number of its newest."""
        counts = (await self._stream.stream_info(self._name, subjects_filter=">")).state.subjects or {}
        if not counts:
            return {}
        async with self._numbers(deliver_policy=api.DeliverPolicy.LAST_PER_SUBJECT, filter_subject=">") as numbers:
            newest = dict(await numbers.fetch(len(counts)))
        return {subject: (count, newest[subject]) for subject, count in counts.items() if subject in newest}

    async def purge(self, before: int, subject: str = "") -> None:
        """Remove the messages before a number; of one subject, or (empty) of all."""
        await self._stream.purge_stream(self._name, seq=before, subject=subject or None)

    @asynccontextmanager
    async def _numbers(self, **which: object) -> AsyncIterator["_Numbers"]:
        config = api.ConsumerConfig(
            ack_policy=api.AckPolicy.NONE,
            headers_only=True,
            mem_storage=True,
            inactive_threshold=_INACTIVE_S,
            num_replicas=1,
        )
        consumer = await self._stream.add_consumer(self._name, config.evolve(**which))
        subscription = await self._stream.pull_subscribe_bind(consumer.name, stream=self._name)
        try:
            yield _Numbers(subscription, consumer.num_pending or 0)
        finally:
            await subscription.unsubscribe()
            with suppress(NotFoundError):
                await self._stream.delete_consumer(self._name, consumer.name)


class _Numbers:
    """What a consumer has to give: subjects and numbers."""

    def __init__(self, subscription: "JetStreamContext.PullSubscription", pending: int) -> None:
        self._subscription = subscription
        self._pending = pending

    async def fetch(self, count: int) -> list[tuple[str, int]]:
        """(subject, number) of `count` messages, or of those that there are."""
        count = min(count, self._pending)
        found: list[tuple[str, int]] = []
        while len(found) < count:
            messages = await self._subscription.fetch(count - len(found), timeout=_ANSWER_S)
            found += [(message.subject, message.metadata.sequence.stream) for message in messages]
        return found
