"""Where intents are decided."""

import asyncio
from decimal import Decimal

from suho.database.v1 import order_service_pb2 as db
from suho.trading.v1 import order_pb2
from suho.trading.v1 import trading_pb2 as pb

from mesh.draining import Draining
from mesh.errors import MeshError, Reason
from services.trading_engine.desk import Desk
from services.trading_engine.domain.order import AccountId, Intent, Side
from services.trading_engine.lanes import Lanes
from services.trading_engine.standings import Standings

ACCOUNT = AccountId("broker", 42)
INTENT = Intent("s1", ACCOUNT, "EURUSD", Side.BUY, Decimal("0.1"), None, None, "", 1, 2**53)


class Accounts:
    """Says that the account's agent is at `engine`."""

    def __init__(self, engine: str) -> None:
        self._engine = engine

    async def account(self, account: AccountId) -> db.Account:
        await asyncio.sleep(0)
        return db.Account(engine=self._engine, trading_state=order_pb2.TRADING_STATE_ACTIVE)


class Others:
    """Passes on to the other desk."""

    desk: Desk

    async def submit(self, engine: str, order: order_pb2.Order) -> pb.SubmitSignalResponse:
        committed = await self.desk.submit_here(order)
        return pb.SubmitSignalResponse(order=committed.order)


class SlowCommits(Accounts):
    """Commits are on their way until the end of the test."""

    def __init__(self) -> None:
        super().__init__("")
        self.committing = asyncio.Event()

    async def commit(self, *_: object) -> None:
        self.committing.set()
        await asyncio.Event().wait()


async def test_a_submit_that_is_given_up_leaves_the_account_to_be_asked_for_anew() -> None:
    """It may have been committed: what was known from before is not told to the agent any more."""
    database, standings = SlowCommits(), Standings()
    standing = standings.of(ACCOUNT)
    desk = Desk("one", database, Lanes(Draining()), standings, Others())  # type: ignore[arg-type]
    async with asyncio.TaskGroup() as tasks:
        submitting = tasks.create_task(desk.submit(INTENT))
        await database.committing.wait()
        assert standing.newest is not None
        submitting.cancel()
    assert standing.newest is None


async def test_two_engines_that_each_believe_the_agent_at_the_other_do_not_wait_for_each_other() -> None:
    """As while an agent moves: both ask at once, and both hear at once to ask again."""
    to_two, to_one = Others(), Others()
    one = Desk("one", Accounts("two"), Lanes(Draining()), Standings(), to_two)  # type: ignore[arg-type]
    two = Desk("two", Accounts("one"), Lanes(Draining()), Standings(), to_one)  # type: ignore[arg-type]
    to_two.desk, to_one.desk = two, one
    async with asyncio.timeout(30):
        answers = await asyncio.gather(one.submit(INTENT), two.submit(INTENT), return_exceptions=True)
    for answer in answers:
        assert isinstance(answer, MeshError)
        assert answer.reason is Reason.ENGINE_AWAY
