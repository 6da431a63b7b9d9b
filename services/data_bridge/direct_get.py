"""Many messages of a stream for one question: JetStream's batched direct get, which nats-py does not know.

Nothing is left open between two questions, so whoever asks may take any time in between. The stream needs
`allow_direct`.
"""

import asyncio
import json
from dataclasses import dataclass

import nats.errors
from nats.aio.client import Client

from services.data_bridge.inbox import open_inbox

_MOST_MESSAGES = 1_000
_MOST_BYTES = 1 << 20

_END_OF_BATCH, _NOT_FOUND = "204", "404"


@dataclass(frozen=True, slots=True)
class LoggedMessage:
    """A message of the log and its number."""

    seq: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class LogPage:
    """Messages in the log's order, about a megabyte at most, and whether the log held no more of them."""

    messages: list[LoggedMessage]
    ended: bool


async def read_page(bus: Client, stream: str, subject: str, first_seq: int, timeout_s: float) -> LogPage:
    """The messages of `subject` from number `first_seq` on.

    Raises:
        nats.errors.Error: NATS does not answer, or not what was asked.
    """
    question = {"seq": first_seq, "next_by_subj": subject, "batch": _MOST_MESSAGES, "max_bytes": _MOST_BYTES}
    async with open_inbox(bus) as (inbox, answers):
        await bus.publish(f"$JS.API.DIRECT.GET.{stream}", json.dumps(question).encode(), inbox)
        found: list[LoggedMessage] = []
        async with asyncio.timeout(timeout_s):
            while (status := (headers := (answer := await answers.get()).headers or {}).get("Status")) is None:
                found.append(LoggedMessage(int(headers["Nats-Sequence"]), answer.data))
    if status == _NOT_FOUND:
        return LogPage([], ended=True)
    if status != _END_OF_BATCH:
        raise nats.errors.Error(f"the stream {stream} can not be read: {status} {headers.get('Description', '')}")
    return LogPage(found, ended=headers["Nats-Num-Pending"] == "0")
