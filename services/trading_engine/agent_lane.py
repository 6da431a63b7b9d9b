"""One agent's lane 0: signals down in order, what the agent says up, each acknowledged only when the other side has it
for good.

The lane outlives an absence of the database: what could not be read or stored is tried again, and nothing is lost,
because the agent keeps what is not acknowledged and the outbox keeps what is not in the agent's ledger.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

from suho.database.v1 import order_service_pb2 as db
from suho.trading.v1 import agent_link_pb2 as link
from suho.trading.v1 import order_pb2

from mesh.clock import unix_ns
from mesh.errors import MeshError, Reason
from mesh.log import get_logger
from mesh.waiting import until_available
from services.trading_engine.agent_lease import AgentLease
from services.trading_engine.agent_said import AgentSaid
from services.trading_engine.database import Database, DatabaseAwayError
from services.trading_engine.exposure_news import exposures_of
from services.trading_engine.lanes import Hello, Lanes
from services.trading_engine.messages import invalid
from services.trading_engine.order_board import OrderBoard
from services.trading_engine.signal_relay import SignalRelay
from services.trading_engine.standings import Standing
from services.trading_engine.uplink import Uplink

log = get_logger(__name__)

# Small: what waits here is not on its way. The agent's flow control holds the rest back.
_WAITING_RESPONSES = 16

Requests = AsyncIterator[link.StreamSignalsRequest]


@dataclass(frozen=True, slots=True)
class LaneTerms:
    """What the engine tells an agent that joins."""

    engine: str
    valid_for_ms: int


class AgentLane:
    """Run it beside whoever sends its `responses`."""

    def __init__(
        self,
        hello: Hello,
        said: AgentSaid,
        terms: LaneTerms,
        database: Database,
        lanes: Lanes,
        standing: Standing,
        board: OrderBoard,
    ) -> None:
        self.hello = hello
        self.said = said
        self._terms = terms
        self._database = database
        self._lanes = lanes
        self._standing = standing
        self._board = board
        self._lease = AgentLease(hello, terms.engine, terms.valid_for_ms, database)
        self._state = order_pb2.TRADING_STATE_UNSPECIFIED
        self._revision = 0
        self._relay: SignalRelay | None = None
        self._outgoing: asyncio.Queue[link.StreamSignalsResponse | MeshError | None] = asyncio.Queue(_WAITING_RESPONSES)

    async def responses(self) -> AsyncIterator[link.StreamSignalsResponse]:
        """What goes down, until the lane ends.

        Raises:
            MeshError: what ended it.
        """
        while (response := await self._outgoing.get()) is not None:
            if isinstance(response, MeshError):
                raise response
            now = unix_ns()
            for signal in response.signals.signals:
                signal.sent_unix_ns = now
            yield response

    def offer(self, order: order_pb2.Order) -> None:
        """See `Lane`."""
        if self._relay is not None:
            self._relay.offer(order)

    def tell_state(self, account: db.Account) -> None:
        """See `Lane`. While the lane is full the lease's next renewal tells it."""
        overtaken, self._revision = account.revision < self._revision, account.revision
        if overtaken:  # as an answer from before a halt; the next renewal tells how it stands
            return
        state = account.trading_state
        change = link.TradingStateChange(trading_state=state, reason=account.state_reason)
        if self._put_now(link.StreamSignalsResponse(trading_state=change)):
            self._state = state

    def end(self, error: MeshError | None) -> None:
        """See `Lane`."""
        while not self._outgoing.empty():
            self._outgoing.get_nowait()
        self._outgoing.put_nowait(error)

    async def drain(self, reason: str) -> None:
        """See `Lane`."""
        await self._outgoing.put(link.StreamSignalsResponse(drain=link.SignalsDrain(reason=reason)))
        await self._outgoing.put(None)

    async def run(self, requests: Requests) -> None:
        """Join, relay and record until the agent is done; what goes wrong is told to the agent, not raised.

        Only its farewell gives the lease up: of a stream that was cut gRPC may first tell that the requests have ended,
        and its agent may execute for as long as it was granted.
        """
        farewell = False
        try:
            farewell = await self._work(requests, await self._join())
        except* MeshError as group:
            error = _first(group)
            log.warning("lane ended", agent=self.hello.agent, account=str(self.hello.account), because=str(error))
            self.end(error)
        except* Exception:
            log.exception("lane failed", agent=self.hello.agent)
            self.end(MeshError(Reason.INTERNAL, "the lane failed; the engine's log says why"))
        finally:
            held = self._lanes.leave(self)
            log.info("agent left", agent=self.hello.agent, account=str(self.hello.account), farewell=farewell)
        if farewell and held:
            await self._lease.release()
        await self._outgoing.put(None)  # behind the error, if there is one

    async def _join(self) -> SignalRelay:
        hello = self.hello
        self._lanes.stand_by(self)

        async def upsert() -> db.Account:
            return await self._database.upsert_account(hello.account, hello.trade_mode, hello.margin_mode)

        await until_available("database", upsert, (DatabaseAwayError,))
        account = await self._lease.acquire(self._say_standby)
        relayed = hello.last_seq if hello.epoch == account.epoch else 0
        if relayed > account.last_seq:
            raise MeshError(
                Reason.EPOCH_SUPERSEDED,
                f"the agent holds signals up to {relayed}, the database knows {account.last_seq}: it has lost some;"
                f" restore its newest copy, or go on without them: `suho accounts new-epoch {hello.account}`",
            )
        joined = link.Joined(engine=self._terms.engine, epoch=account.epoch, valid_for_ms=self._lease.grant_ms())
        await self._outgoing.put(link.StreamSignalsResponse(joined=joined))
        self._note(account)
        await self._outgoing.put(link.StreamSignalsResponse(exposures=exposures_of(account)))
        put, put_now = self._put_signals, self._put_signals_now
        relay = SignalRelay(hello.account, account.epoch, relayed, hello.ledger, self._database, put, put_now)
        self._relay = relay
        await self._lanes.join(self)
        log.info("agent joined", agent=hello.agent, account=str(hello.account), epoch=account.epoch, after=relayed)
        return relay

    async def _work(self, requests: Requests, relay: SignalRelay) -> bool:
        """Returns when the agent says nothing more, and whether its farewell was the last."""
        farewell = False
        uplink = Uplink(self.hello.account, self.said, self._database, self._standing, self._board, self._outgoing.put)
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(work) for work in (relay.run(), uplink.run(), self._lease.keep(self._note))]
            async for request in requests:
                if farewell := request.HasField("farewell"):
                    break
                await self._take(request, relay, uplink, tasks)
            await uplink.done()
            for task in running:
                task.cancel()
        return farewell

    async def _take(
        self, request: link.StreamSignalsRequest, relay: SignalRelay, uplink: Uplink, tasks: asyncio.TaskGroup
    ) -> None:
        match request.WhichOneof("kind"):
            case "clock":
                await self._answer_clock(request.clock)
            case "missing":
                _require_epoch(relay, request.missing.epoch)
                tasks.create_task(relay.resend(request.missing))
            case "signal_ack":
                _require_epoch(relay, request.signal_ack.epoch)
                if request.signal_ack.seq > relay.relayed:
                    raise invalid(
                        f"signal_ack.seq is {request.signal_ack.seq}; {relay.relayed} was the last handed out"
                    )
            case "hello":
                raise invalid("a second hello; a stream has one, its first message")
            case _:
                await uplink.take(request)

    async def _answer_clock(self, probe: link.ClockProbe) -> None:
        reply = link.ClockReply(
            agent_unix_ns=probe.agent_unix_ns, engine_unix_ns=unix_ns(), valid_for_ms=self._lease.grant_ms()
        )
        await self._outgoing.put(link.StreamSignalsResponse(clock=reply))

    async def _say_standby(self, agent: str) -> None:
        await self._outgoing.put(link.StreamSignalsResponse(standby=link.Standby(agent=agent)))

    def _note(self, account: db.Account) -> None:
        """The account as the database has it: whoever moved it, and whoever changed its trading state, the agent hears
        of it."""
        if self._standing.newest and self._standing.newest.revision != account.revision:
            self._standing.forget()
        if account.trading_state != self._state:
            self.tell_state(account)
        else:
            self._revision = account.revision

    async def _put_signals(self, signals: link.Signals) -> None:
        await self._outgoing.put(link.StreamSignalsResponse(signals=signals))

    def _put_signals_now(self, signals: link.Signals) -> bool:
        return self._put_now(link.StreamSignalsResponse(signals=signals))

    def _put_now(self, response: link.StreamSignalsResponse) -> bool:
        try:
            self._outgoing.put_nowait(response)
        except asyncio.QueueFull:
            return False
        return True


def _require_epoch(relay: SignalRelay, epoch: int) -> None:
    if epoch != relay.epoch:
        raise MeshError(Reason.EPOCH_SUPERSEDED, f"epoch {epoch} is not in force, {relay.epoch} is", epoch=relay.epoch)


def _first(group: BaseExceptionGroup[MeshError]) -> MeshError:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, MeshError)
    return error
