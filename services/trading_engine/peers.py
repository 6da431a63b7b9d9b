"""Questions about an account to the engine that has its agent, over NATS request and reply."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import nats.errors
from google.protobuf.message import DecodeError, Message
from google.rpc import status_pb2
from nats.aio.client import Client
from nats.aio.msg import Msg
from suho.trading.v1 import order_pb2
from suho.trading.v1 import trading_pb2 as pb

from mesh.clock import unix_ms
from mesh.errors import MeshError, Reason
from mesh.log import get_logger
from mesh.market.subjects import encode

log = get_logger(__name__)
M = TypeVar("M", bound=Message)

# The answer waits for the database, which is given 5 s.
_TIMEOUT_S = 7.0
_REFUSED = "suho-refused"
# Until when the asker waits; after that it has gone on by itself.
_NOT_AFTER = "suho-not-after-unix-ms"
# More at once wait for their turn.
_AT_ONCE = 64

SUBMIT = "SubmitSignal"
SET_STATE = "SetTradingState"
POSITIONS = "ListPositions"
MARKET = "ListMarketConditions"
ACCOUNTS = "ListAccounts"

# A question's type, and who answers it.
Answer = tuple[type[Message], Callable[[Any], Awaitable[Message]]]


class Peers:
    """Asks other engines."""

    def __init__(self, bus: Client) -> None:
        self._bus = bus

    async def submit(self, engine: str, order: order_pb2.Order) -> pb.SubmitSignalResponse:
        """See `Elsewhere`."""
        return await self.ask(engine, SUBMIT, order, pb.SubmitSignalResponse)

    async def ask(self, engine: str, method: str, request: Message, answer: type[M]) -> M:
        """Raises MeshError as that engine does; ENGINE_AWAY when it does not answer: then it may have heard all the
        same."""
        headers = {_NOT_AFTER: str(unix_ms() + round(_TIMEOUT_S * 1000))}
        asked = request.SerializeToString()
        try:
            reply = await self._bus.request(_subject(engine, method), asked, timeout=_TIMEOUT_S, headers=headers)
        except (TimeoutError, nats.errors.Error, OSError) as error:
            raise MeshError(
                Reason.ENGINE_AWAY,
                f"the account's agent is at engine {engine!r}, which does not answer"
                f" ({type(error).__name__}); ask again in some seconds",
                engine=engine,
            ) from None
        if reply.headers and _REFUSED in reply.headers:
            raise MeshError.of_status(status_pb2.Status.FromString(reply.data))
        return answer.FromString(reply.data)


@asynccontextmanager
async def answering(
    bus: Client, engine: str, answers: Mapping[str, Answer], tasks: asyncio.TaskGroup
) -> AsyncIterator[None]:
    """Answer what other engines ask this one, until the end of the block."""
    turns = asyncio.Semaphore(_AT_ONCE)

    async def hear(message: Msg) -> None:
        method = message.subject.rpartition(".")[2]
        await turns.acquire()
        task = tasks.create_task(_answer(bus, message, answers[method]), name=f"answer {method}")
        task.add_done_callback(lambda _: turns.release())

    subscriptions = [await bus.subscribe(_subject(engine, method), cb=hear) for method in answers]
    # It must stand before this engine is asked: the server has it once it answered.
    await bus.flush()
    try:
        yield
    finally:
        for subscription in subscriptions:
            await subscription.unsubscribe()


async def _answer(bus: Client, message: Msg, answer: Answer) -> None:
    kind, give = answer
    headers: dict[str, str] | None = None
    try:
        _require_in_time(message)
        data = (await give(kind.FromString(message.data))).SerializeToString()
    except (MeshError, DecodeError) as error:
        refusal = error if isinstance(error, MeshError) else MeshError(Reason.INTERNAL, "an unreadable question")
        data, headers = refusal.status().SerializeToString(), {_REFUSED: refusal.reason}
    except Exception:
        log.exception("question of another engine failed", subject=message.subject)
        failed = MeshError(Reason.INTERNAL, "the other engine failed; its log says why")
        data, headers = failed.status().SerializeToString(), {_REFUSED: failed.reason}
    try:
        await bus.publish(message.reply, data, headers=headers)
    except (nats.errors.Error, OSError) as error:
        log.warning("answer not sent", subject=message.subject, because=str(error))


def _require_in_time(message: Msg) -> None:
    """What an engine that stood still finds, nobody waits for: a halt may have followed on the resume since.

    Raises:
        MeshError: ENGINE_AWAY.
    """
    late_ms = unix_ms() - int((message.headers or {}).get(_NOT_AFTER, "0"))
    if late_ms > 0:
        log.warning("a question came too late", subject=message.subject, late_ms=late_ms)
        raise MeshError(
            Reason.ENGINE_AWAY,
            f"it came {late_ms} ms after its time was over and was not done; if that lasts, the engines' clocks differ",
        )


def _subject(engine: str, method: str) -> str:
    return f"engines.{encode(engine)}.{method}"
