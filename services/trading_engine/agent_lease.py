"""An agent's right to execute: held in the database, which alone knows the time of it."""

import asyncio
from collections.abc import Awaitable, Callable
from uuid import uuid4

from suho.database.v1 import order_service_pb2 as db

from mesh.errors import MeshError, Reason
from mesh.log import get_logger
from mesh.waiting import backoff
from services.trading_engine.database import Database, DatabaseAwayError
from services.trading_engine.lanes import Hello

log = get_logger(__name__)

# Who stands by asks this often at least: the lease may be given up early.
_ASK_AGAIN_S = 0.5


class AgentLease:
    """One stream's. What it grants never outlives what the database gave: that is counted from before it was asked."""

    def __init__(self, hello: Hello, engine: str, valid_for_ms: int, database: Database) -> None:
        self._hello = hello
        self._account = hello.account
        self._engine = engine
        self._valid_for_ms = valid_for_ms
        self._database = database
        self._until_s = 0.0
        self._grant_id = uuid4().hex

    def grant_ms(self) -> int:
        """How long the agent may execute from now on."""
        left_ms = int((self._until_s - asyncio.get_running_loop().time()) * 1000)
        return max(0, min(left_ms, self._valid_for_ms))

    async def acquire(self, standby: Callable[[str], Awaitable[None]]) -> db.Account:
        """Returns when this agent may execute and no other may; tells `standby` meanwhile who does."""
        told = ""
        pauses = backoff(most_s=_ASK_AGAIN_S)
        while True:
            try:
                return await self._ask(renew=False)
            except DatabaseAwayError as error:
                log.info("lease waits", account=str(self._account), because=str(error))
                await asyncio.sleep(next(pauses))
            except MeshError as error:
                if error.reason is not Reason.LEASE_HELD:
                    raise
                if error.metadata["agent"] != told:
                    told = error.metadata["agent"]
                    log.info("agent stands by", agent=self._hello.agent, account=str(self._account), executes=told)
                    await standby(told)
                await asyncio.sleep(min(_ASK_AGAIN_S, int(error.metadata["ms"]) / 1000 + 0.001))

    async def keep(self, renewed: Callable[[db.Account], None]) -> None:
        """Renew it about every third of its time, for ever.

        Raises:
            MeshError: AGENT_REPLACED: another one has it.
        """
        pauses = backoff(most_s=_ASK_AGAIN_S)
        while True:
            await asyncio.sleep(self._valid_for_ms / 3000)
            try:
                renewed(await self._ask(renew=True))
            except DatabaseAwayError as error:
                log.warning("lease not renewed", account=str(self._account), because=str(error))
                await asyncio.sleep(next(pauses))
            except MeshError as error:
                if error.reason is not Reason.LEASE_HELD:
                    raise
                raise MeshError(Reason.AGENT_REPLACED, error.message) from None

    async def release(self) -> None:
        """Give it up early; where the database does not take that, it lapses by itself."""
        self._until_s = 0.0
        try:
            await self._database.release_lease(self._account, self._grant_id)
        except MeshError as error:
            log.warning("lease not given up", account=str(self._account), because=str(error))

    async def _ask(self, renew: bool) -> db.Account:
        asked_s = asyncio.get_running_loop().time()
        account = await self._database.acquire_lease(
            self._hello, self._engine, self._grant_id, self._valid_for_ms, renew
        )
        self._until_s = asked_s + self._valid_for_ms / 1000
        return account
