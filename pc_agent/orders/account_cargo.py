"""What lane 0 carries of an account beside signals and reports: its safety, its snapshot, trades from outside up; the
engine's trading state and what it counts down.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from suho.trading.v1 import agent_link_pb2 as pb

from mesh.log import get_logger
from pc_agent.orders.account_messages import exposures_of, external_deal_of, safety_of, trading_state_of
from pc_agent.orders.account_watch import AccountWatch
from pc_agent.orders.deal_ledger import DealLedger
from pc_agent.orders.deal_rows import RefusedDeal
from pc_agent.orders.safety import Safety

log = get_logger(__name__)

Send = Callable[[pb.StreamSignalsRequest], None]
Carry = Callable[[Send], Coroutine[Any, Any, None]]

_SNAPSHOT_S = 30.0
_REPEAT_S = 5.0
_MOST_DEALS = 100
_BOOKS_S = 2.0


class AccountCargo:
    """One account's. `tell_market` sends what its markets are like, for ever."""

    def __init__(self, watch: AccountWatch, deals: DealLedger, safety: Safety, tell_market: Carry) -> None:
        self._watch = watch
        self._deals = deals
        self._safety = safety
        self._tell_market = tell_market

    def safety(self) -> pb.AgentSafety:
        """For the hello."""
        return safety_of(self._safety.state)

    async def take_over(self) -> None:
        """What another agent did until now shows in the books; not waited for when the terminal hangs."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_BOOKS_S):
                await self._watch.read()

    def stands(self, there: bool) -> None:
        """Lane 0 has an engine, or has lost it."""
        self._watch.engine_counts(None)
        if there:
            self._watch.look_soon(far=True)

    async def carry(self, send: Send) -> None:
        """For as long as the stream stands."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._tell_safety(send))
            tasks.create_task(self._tell_snapshot(send))
            tasks.create_task(self._tell_deals(send))
            tasks.create_task(self._tell_market(send))

    async def take(self, response: pb.StreamSignalsResponse) -> None:
        """What concerns the account; the rest is the lane's."""
        match response.WhichOneof("kind"):
            case "trading_state":
                self._safety.engine_says(trading_state_of(response.trading_state))
            case "exposures":
                self._watch.engine_counts(exposures_of(response.exposures))
            case "deal_acks":
                await self._take_deal_acks(response.deal_acks)

    async def _take_deal_acks(self, acks: pb.DealAcks) -> None:
        await self._deals.acknowledged(acks.deals)
        for refused in acks.refused:
            log.error("the engine refused a deal", deal=refused.deal, because=refused.message)
            await self._deals.refuse(RefusedDeal(refused.deal, refused.reason, refused.message))

    async def _tell_safety(self, send: Send) -> None:
        while True:
            self._safety.changed.clear()
            send(pb.StreamSignalsRequest(safety=self.safety()))
            await self._safety.changed.wait()

    async def _tell_snapshot(self, send: Send) -> None:
        """Whenever it changed, and every 30 s."""
        while True:
            self._watch.changed.clear()
            if self._watch.snapshot is not None:
                send(pb.StreamSignalsRequest(snapshot=self._watch.snapshot))
            try:
                async with asyncio.timeout(_SNAPSHOT_S):
                    await self._watch.changed.wait()
            except TimeoutError:
                continue

    async def _tell_deals(self, send: Send) -> None:
        """What the engine has not acknowledged: at once, and again after a while."""
        sent: dict[int, float] = {}
        while True:
            self._deals.news.clear()
            waiting = await self._deals.waiting(_MOST_DEALS)
            now = time.monotonic()
            due = [one for one in waiting if now - sent.get(one.deal.ticket, -_REPEAT_S) >= _REPEAT_S]
            sent = {one.deal.ticket: sent.get(one.deal.ticket, now) for one in waiting}
            sent.update({one.deal.ticket: now for one in due})
            if due:
                deals = pb.ExternalDeals(deals=[external_deal_of(one) for one in due])
                send(pb.StreamSignalsRequest(deals=deals))
            try:
                async with asyncio.timeout(_REPEAT_S if waiting else None):
                    await self._deals.news.wait()
            except TimeoutError:
                continue
