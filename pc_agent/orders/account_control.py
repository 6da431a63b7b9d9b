"""What a person at the PC may see and do of one account."""

from collections.abc import Sequence

from suho.agent.v1 import agent_pb2
from suho.trading.v1 import agent_link_pb2, order_pb2

from mesh.clock import unix_ms
from mesh.errors import MeshError, Reason
from pc_agent.domain.orders import Account, Entry, Result
from pc_agent.orders.account_books import AccountBooks
from pc_agent.orders.account_messages import difference_of, position_of, safety_of
from pc_agent.orders.account_watch import AccountWatch
from pc_agent.orders.deal_ledger import DealLedger
from pc_agent.orders.flattening import Flattening
from pc_agent.orders.local_closes import LocalCloses
from pc_agent.orders.reconciler import NotInDoubtError, Reconciler
from pc_agent.orders.safety import Safety

# An adopted position is the person's under this name.
_ADOPTED_AS = "adopted-{login}-{ticket}"


class AccountControl:
    """One account's: what its watch, safety, closes and reconciler offer, in the words of a person."""

    def __init__(
        self,
        account: Account,
        books: AccountBooks,
        watch: AccountWatch,
        deals: DealLedger,
        safety: Safety,
        closes: LocalCloses,
        flattening: Flattening,
        reconciler: Reconciler,
    ) -> None:
        self.account = account
        self.safety = safety
        self._books = books
        self._watch = watch
        self._deals = deals
        self._closes = closes
        self._flattening = flattening
        self._reconciler = reconciler

    @property
    def snapshot(self) -> agent_link_pb2.AccountSnapshot | None:
        """As read last; None: not yet."""
        return self._watch.snapshot

    async def close(self, tickets: Sequence[int], request_id: str) -> list[Entry]:
        """Of these positions those that are open and ours; of none named, all that are ours.

        Raises:
            MeshError: TERMINAL_AWAY.
        """
        await self._look()
        wanted = [one for one in self._watch.ours() if not tickets or one.ticket in tickets]
        entries = await self._closes.close(wanted, request_id)
        self._watch.look_soon()
        return entries

    async def flatten(self, request_id: str) -> list[Entry]:
        """Remove pending orders of ours, then close what is ours, until nothing is; entries must have been stopped
        before.

        Raises:
            MeshError: TERMINAL_AWAY.
        """
        await self._look()
        return await self._flattening.flatten(request_id)

    async def withdraw(self, flatten: bool, request_id: str) -> None:
        """Pending entries of ours; with `flatten` the positions too. Nothing while the books can not be read."""
        if not await self._watch.look():
            return
        if flatten:
            await self._flattening.flatten(request_id)
        else:
            await self._closes.cancel(self._watch.our_orders(), request_id)

    async def adopt(self, ticket: int) -> order_pb2.Position:
        """Raises MeshError UNKNOWN_TICKET, TERMINAL_AWAY."""
        await self._look()
        position = next((one for one in [*self._watch.ours(), *self._watch.foreign()] if one.ticket == ticket), None)
        if position is None:
            raise MeshError(Reason.UNKNOWN_TICKET, f"position {ticket} is not open; `suho agent positions` lists them")
        name = _ADOPTED_AS.format(login=self.account.login, ticket=ticket)
        look = self._books.newest
        await self._deals.adopt(position, name, look.server_s * 1000 if look else unix_ms())
        await self._watch.look()
        return position_of(position, self._watch.holdings.get(position.identifier))

    async def resolve(self, signal_id: str, result: Result) -> None:
        """Raises MeshError NOT_IN_DOUBT."""
        try:
            await self._reconciler.resolve_by_hand(signal_id, result)
        except NotInDoubtError as error:
            raise MeshError(Reason.NOT_IN_DOUBT, str(error)) from None

    def doubts(self, signal_id: str) -> bool:
        return any(entry.signal.signal_id == signal_id for entry in self._reconciler.doubts)

    async def deals_waiting(self) -> int:
        """Trades from outside that the engine has not acknowledged."""
        return await self._deals.count_waiting()

    async def deals_refused(self) -> list[agent_link_pb2.RefusedDeal]:
        """Trades from outside that the engine will never take."""
        found = await self._deals.refused()
        return [agent_link_pb2.RefusedDeal(deal=one.ticket, reason=one.reason, message=one.message) for one in found]

    def fill(self, status: agent_pb2.TerminalStatus) -> None:
        """What is to be said of the account."""
        status.account.server, status.account.login = self.account.server, self.account.login
        status.safety.CopyFrom(safety_of(self.safety.state))
        status.trading_state = order_pb2.TradingState.Value(f"TRADING_STATE_{self.safety.engine_state}")
        status.differences.extend(difference_of(one, since) for one, since in self._watch.differences)

    async def _look(self) -> None:
        if not await self._watch.look():
            raise self._away()

    def _away(self) -> MeshError:
        account = self.account
        message = f"the terminal of {account.login} at {account.server} does not show its books now"
        return MeshError(Reason.TERMINAL_AWAY, message)
