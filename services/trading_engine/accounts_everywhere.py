"""What agents say, wherever their lanes are: asked of this engine's lanes, and of the other engines."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple, Protocol, TypeVar

from google.protobuf.message import Message
from suho.database.v1 import order_service_pb2 as db
from suho.trading.v1 import agent_link_pb2 as link
from suho.trading.v1 import trading_pb2 as pb

from mesh.errors import MeshError
from mesh.log import get_logger
from services.trading_engine import peers
from services.trading_engine.agent_said import books_of
from services.trading_engine.database import Database
from services.trading_engine.domain.order import AccountId, Books
from services.trading_engine.lanes import Lanes
from services.trading_engine.messages import account_id, account_ref

log = get_logger(__name__)
M = TypeVar("M", bound=Message)


class Asking(Protocol):
    async def ask(self, engine: str, method: str, request: Message, answer: type[M]) -> M: ...


class Held(NamedTuple):
    """What an account holds, and whether positions stand beside each other there."""

    books: Books
    hedging: bool


class AccountsEverywhere:
    """`engine` is this one's name."""

    def __init__(self, engine: str, database: Database, lanes: Lanes, others: Asking) -> None:
        self._engine = engine
        self._database = database
        self._lanes = lanes
        self._others = others

    async def engine_of(self, account: AccountId) -> str:
        """Another engine that has the account's lane; empty: it is here, or nowhere.

        Raises:
            MeshError: UNKNOWN_ACCOUNT.
        """
        if self._lanes.executing(account) is not None:
            return ""
        return self._elsewhere(await self._database.account(account))

    async def positions(self, request: pb.ListPositionsRequest) -> pb.ListPositionsResponse:
        """Raises MeshError where the engine of a named account is away, or fails; where all are asked for, such an
        account has no snapshot."""

        async def of(account: db.Account) -> pb.AccountPositions:
            engine = self._elsewhere(account)
            if engine:
                asked = pb.ListPositionsRequest(account=account.account)
                answer = await self._ask(engine, peers.POSITIONS, asked, pb.ListPositionsResponse, _named(request))
                if answer is not None:
                    return answer.accounts[0]
            return self._positions_here(account_id(account.account), account.agent)

        return pb.ListPositionsResponse(accounts=await self._of_each(request, of))

    async def held(self, account: AccountId) -> Held | None:
        """None: no agent tells. Raises MeshError as `positions`."""
        lane = self._lanes.executing(account)
        if lane is not None:
            return Held(lane.said.books, lane.said.hedging) if lane.said.books else None
        (told,) = (await self.positions(pb.ListPositionsRequest(account=account_ref(account)))).accounts
        if not told.HasField("snapshot"):
            return None
        return Held(books_of(told.snapshot), told.margin_mode == link.MARGIN_MODE_HEDGING)

    async def positions_here(self, request: pb.ListPositionsRequest) -> pb.ListPositionsResponse:
        """For another engine that asks for one account."""
        return pb.ListPositionsResponse(accounts=[self._positions_here(account_id(request.account), "")])

    async def market(self, request: pb.ListMarketConditionsRequest) -> pb.ListMarketConditionsResponse:
        """As `positions`."""

        async def of(account: db.Account) -> pb.AccountMarket:
            engine = self._elsewhere(account)
            if engine:
                asked = pb.ListMarketConditionsRequest(account=account.account, symbols=request.symbols)
                answer = await self._ask(engine, peers.MARKET, asked, pb.ListMarketConditionsResponse, _named(request))
                if answer is not None:
                    return answer.accounts[0]
            return self._market_here(account_id(account.account), request.symbols)

        return pb.ListMarketConditionsResponse(accounts=await self._of_each(request, of))

    async def market_here(self, request: pb.ListMarketConditionsRequest) -> pb.ListMarketConditionsResponse:
        """For another engine that asks for one account."""
        return pb.ListMarketConditionsResponse(
            accounts=[self._market_here(account_id(request.account), request.symbols)]
        )

    async def statuses(self) -> pb.ListAccountsResponse:
        """Every account. Who stands by is known of this engine and of the one that has the lane."""
        accounts = await self._database.accounts()
        engines = {self._elsewhere(account) for account in accounts} - {""}
        answers = await asyncio.gather(
            *(
                self._ask(engine, peers.ACCOUNTS, pb.ListAccountsRequest(), pb.ListAccountsResponse, False)
                for engine in engines
            )
        )
        told = {
            account_id(status.account): status
            for answer in answers
            if answer is not None
            for status in answer.accounts
            if status.agent
        }
        return pb.ListAccountsResponse(accounts=[self._status(account, told) for account in accounts])

    async def statuses_here(self, request: pb.ListAccountsRequest) -> pb.ListAccountsResponse:
        """For another engine: of the lanes that are here."""
        return pb.ListAccountsResponse(
            accounts=[
                pb.AccountStatus(
                    account=account_ref(lane.hello.account),
                    agent=lane.hello.agent,
                    safety=lane.said.safety,
                    standing_by=self._lanes.standing_by(lane.hello.account),
                )
                for lane in self._lanes.all_executing()
            ]
        )

    def _status(self, account: db.Account, told: "dict[AccountId, pb.AccountStatus]") -> pb.AccountStatus:
        ident = account_id(account.account)
        lane, elsewhere = self._lanes.executing(ident), told.get(ident)
        status = pb.AccountStatus(
            account=account.account,
            trade_mode=account.trade_mode,
            trading_state=account.trading_state,
            agent=lane.hello.agent if lane else account.agent if self._elsewhere(account) else "",
            open_orders=account.open_orders,
            standing_by=sorted({*self._lanes.standing_by(ident), *(elsewhere.standing_by if elsewhere else ())}),
            engine=self._engine if lane else self._elsewhere(account),
            epoch=account.epoch,
            state_reason=account.state_reason,
        )
        safety = lane.said.safety if lane else elsewhere.safety if elsewhere else None
        if safety is not None:
            status.safety.CopyFrom(safety)
        return status

    def _elsewhere(self, account: db.Account) -> str:
        if self._lanes.executing(account_id(account.account)) is not None or account.engine == self._engine:
            return ""
        return account.engine

    async def _ask(self, engine: str, method: str, request: Message, answer: type[M], named: bool) -> M | None:
        try:
            return await self._others.ask(engine, method, request, answer)
        except MeshError as error:
            if named:
                raise
            log.warning("another engine was not heard", engine=engine, method=method, because=error.message)
            return None

    async def _of_each(self, request: "_OfAccounts", of: Callable[[db.Account], Awaitable[M]]) -> list[M]:
        if _named(request):
            return [await of(await self._database.account(account_id(request.account)))]
        return list(await asyncio.gather(*(of(account) for account in await self._database.accounts())))

    def _positions_here(self, account: AccountId, agent: str) -> pb.AccountPositions:
        lane = self._lanes.executing(account)
        if lane is None:
            return pb.AccountPositions(account=account_ref(account), agent=agent)
        return pb.AccountPositions(
            account=account_ref(account),
            agent=lane.hello.agent,
            snapshot=lane.said.snapshot,
            margin_mode=lane.hello.margin_mode,
        )

    def _market_here(self, account: AccountId, symbols: Sequence[str]) -> pb.AccountMarket:
        lane = self._lanes.executing(account)
        known = lane.said.conditions if lane else {}
        wanted = symbols or sorted(known)
        return pb.AccountMarket(
            account=account_ref(account), conditions=[known[symbol] for symbol in wanted if symbol in known]
        )


_OfAccounts = pb.ListPositionsRequest | pb.ListMarketConditionsRequest


def _named(request: _OfAccounts) -> bool:
    return request.HasField("account")
