"""Messages into JetStream, each with its confirmation: one inbox and one timer for all of them.

nats-py's own request makes a random token, a task's worth of waiting and a timer for each message: at thousands a
second that is what a program would spend most of its time on.

nats-py is in the `server` extra only, so the agent must not import this module.
"""

import asyncio
import json
import time
from collections.abc import Mapping

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.errors import APIError, NoStreamResponseError

# The timer's steps in one timeout.
_STEPS = 4


class ConfirmedPublish:
    """Publishes over `bus`; whatever is not confirmed within `timeout_s` fails."""

    def __init__(self, bus: Client, timeout_s: float) -> None:
        self._bus = bus
        self._timeout_s = timeout_s
        self._inbox = ""
        self._numbered = 0
        self._opening = asyncio.Lock()
        # By number, and so by age: until when, and what is waited for.
        self._waiting: dict[int, tuple[float, asyncio.Future[int]]] = {}
        self._timer: asyncio.TimerHandle | None = None

    async def __call__(self, subject: str, payload: bytes, headers: Mapping[str, str]) -> int:
        """Publish and return the message's number in its stream.

        Raises:
            APIError: JetStream refused it.
            TimeoutError: it is not known whether it was taken.
            nats.errors.Error: nor then; but with MaxPayloadError it was not sent.
        """
        if not self._inbox:
            await self._open()
        loop = asyncio.get_running_loop()
        self._numbered = number = self._numbered + 1
        confirmation: asyncio.Future[int] = loop.create_future()
        self._waiting[number] = time.monotonic() + self._timeout_s, confirmation
        if self._timer is None:
            self._timer = loop.call_later(self._timeout_s / _STEPS, self._expire)
        try:
            await self._bus.publish(subject, payload, reply=f"{self._inbox}.{number}", headers=dict(headers))
            return await confirmation
        finally:
            self._waiting.pop(number, None)

    async def _open(self) -> None:
        async with self._opening:
            if not self._inbox:
                inbox = self._bus.new_inbox()
                await self._bus.subscribe(f"{inbox}.*", cb=self._confirm)
                self._inbox = inbox

    async def _confirm(self, message: Msg) -> None:
        _, confirmation = self._waiting.get(int(message.subject.rpartition(".")[2]), (0.0, None))
        if confirmation is None or confirmation.done():
            return
        try:
            confirmation.set_result(_number(message.data))
        except (APIError, NoStreamResponseError) as error:
            confirmation.set_exception(error)

    def _expire(self) -> None:
        self._timer = None
        now = time.monotonic()
        for until, confirmation in self._waiting.values():
            if until > now:
                break
            if not confirmation.done():
                confirmation.set_exception(nats.errors.TimeoutError())
        if self._waiting:
            self._timer = asyncio.get_running_loop().call_later(self._timeout_s / _STEPS, self._expire)


def _number(answer: bytes) -> int:
    """What JetStream answered. Raises APIError, or NoStreamResponseError when there is no such stream."""
    if not answer:
        raise NoStreamResponseError
    confirmed = json.loads(answer)
    if "error" in confirmed:
        raise APIError.from_error(confirmed["error"])
    number: int = confirmed["seq"]
    return number
