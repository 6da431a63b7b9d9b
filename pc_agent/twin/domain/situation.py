"""All that judging one trade request takes."""

from dataclasses import dataclass

from pc_agent.twin import constants as mt5
from pc_agent.twin.domain.instrument import Instrument, Quote
from pc_agent.twin.domain.netting import Exposure, Netted, Side, net
from pc_agent.twin.domain.order_types import side_of
from pc_agent.twin.domain.terms import AccountTerms, Terms
from pc_agent.twin.results import TradeOrder, TradePosition, TradeRequest


def exposure(position: TradePosition) -> Exposure:
    return Exposure(1 if position.type == mt5.POSITION_TYPE_BUY else -1, position.volume, position.price_open)


@dataclass(frozen=True)
class Situation:
    """A request, the symbol it is about, and what the account has of that; nothing of it changes while it is judged.

    `quote_rate` is what one unit of the symbol's quote currency is worth in the account's; None: nobody knows.
    """

    request: TradeRequest
    account: AccountTerms
    what: Instrument
    terms: Terms
    quote: Quote | None
    quote_rate: float | None
    now_msc: int
    positions: tuple[TradePosition, ...]  # of the symbol, the oldest first
    orders: tuple[TradeOrder, ...]  # that wait, of the symbol
    all_positions: int  # of the account
    all_orders: int
    reason: int  # who asks

    @property
    def side(self) -> Side:
        return side_of(self.request.type)

    @property
    def now_s(self) -> int:
        return self.now_msc // 1000

    def price(self, side: Side) -> float:
        """Where `side` deals now: a buy at the ask, a sell at the bid."""
        bid, ask = self.quote or (0.0, 0.0)
        return ask if side == 1 else bid

    def points(self, price: float, other: float) -> float:
        """How many points `price` lies over the `other`, free of floats' dust."""
        return round((price - other) / self.what.point, 2)

    def position(self, ticket: int) -> TradePosition | None:
        return next((position for position in self.positions if position.ticket == ticket), None)

    def order(self, ticket: int) -> TradeOrder | None:
        return next((order for order in self.orders if order.ticket == ticket), None)

    @property
    def held(self) -> TradePosition | None:
        """The position that the request is about: the one it names, or on a netting account the symbol's."""
        if self.request.position:
            return self.position(self.request.position)
        return self.positions[0] if self.positions and not self.account.is_hedging else None

    @property
    def before(self) -> Exposure | None:
        return exposure(self.held) if self.held is not None else None

    def netted(self) -> Netted:
        """What executing the whole of a market order would do."""
        return net(self.before, self.side, self.request.volume, self.price(self.side))
