"""What the broker does, as changes of the books: fills, places, modifies, removes, closes."""

import math

from pc_agent.twin import constants as mt5
from pc_agent.twin.account import Account
from pc_agent.twin.books import Books
from pc_agent.twin.domain.close_by import close_by
from pc_agent.twin.domain.dealing import Change, Fill, ended, fill, new_order
from pc_agent.twin.domain.expiration import expires_at
from pc_agent.twin.domain.instrument import Quote
from pc_agent.twin.domain.interference import Fate
from pc_agent.twin.domain.netting import net
from pc_agent.twin.domain.order_types import LIMIT_OF, MARKET, closing_type, side_of
from pc_agent.twin.domain.situation import Situation, exposure
from pc_agent.twin.domain.terms import Terms
from pc_agent.twin.market import Clock
from pc_agent.twin.quotes import Quotes
from pc_agent.twin.results import TradeDeal, TradeOrder, TradePosition, TradeRequest

# What is not filled at once goes on waiting.
_REST_STAYS = (mt5.ORDER_FILLING_RETURN, mt5.ORDER_FILLING_BOC)


class Trades:
    """Each call is one change, committed when it returns."""

    def __init__(self, account: Account, quotes: Quotes, books: Books, clock: Clock) -> None:
        self._account = account
        self._quotes = quotes
        self._books = books
        self._clock = clock

    # What clients ask for, when no rule has refused it

    def deal(self, s: Situation, fate: Fate) -> tuple[TradeOrder, TradeDeal | None] | None:
        """Execute a market order, as far as there is liquidity; None: it wants all or nothing, and there is less."""
        request = s.request
        found = found_volume(request.volume, s.terms, fate.liquidity)
        stays = request.type_filling in _REST_STAYS
        if found < request.volume and not stays and (request.type_filling == mt5.ORDER_FILLING_FOK or not found):
            return None
        ticket, _ = self._books.next_tickets()
        held = s.held
        position_id = held.identifier if held is not None else 0
        order = new_order(request, ticket, self._clock(), s.reason, position_id)
        if not found:
            self._books.commit(Change(working=(order,)))
            return order, None
        price = round(s.price(s.side) + s.side * fate.slippage_points * s.what.point, s.what.digits)
        return self._fill(order, found, price, held, keeps_rest=stays)

    def place(self, s: Situation) -> TradeOrder:
        ticket, _ = self._books.next_tickets()
        order = new_order(s.request, ticket, self._clock(), s.reason)
        self._books.commit(Change(working=(order,)))
        return order

    def modify(self, s: Situation) -> TradeOrder:
        request, order = s.request, self._books.working[s.request.order]
        changed = order._replace(
            price_open=request.price,
            price_stoplimit=request.stoplimit,
            sl=request.sl,
            tp=request.tp,
            type_time=request.type_time,
            time_expiration=expires_at(request.type_time, request.expiration, s.now_s),
        )
        self._books.commit(Change(working=(changed,)))
        return changed

    def end(self, order: TradeOrder, state: int) -> None:
        """The order waits no more."""
        self._books.commit(Change(done=(ended(order, state, self._clock()),)))

    def set_stops(self, position: TradePosition, sl: float, tp: float) -> None:
        now = self._clock()
        changed = position._replace(sl=sl, tp=tp, time_update=now // 1000, time_update_msc=now)
        self._books.commit(Change(positions=(changed,)))

    def close_by(self, s: Situation) -> tuple[TradeOrder, TradeDeal]:
        one, other = s.position(s.request.position), s.position(s.request.position_by)
        assert one is not None
        assert other is not None
        assert s.quote_rate is not None
        change = close_by(s, one, other, s.quote_rate, self._books.next_tickets())
        self._books.commit(change)
        return change.done[0], change.deals[0]

    # What the market's ticks do

    def activate(self, order: TradeOrder, quote: Quote) -> None:
        """A working order's price was met: a stop-limit becomes a limit, everything else is filled as far as it can."""
        if order.type in LIMIT_OF:
            limit = order._replace(type=LIMIT_OF[order.type], price_open=order.price_stoplimit, price_stoplimit=0.0)
            self._books.commit(Change(working=(limit,)))
            return
        side, held = side_of(order.type), self._held_by(order)
        price = quote[1] if side == 1 else quote[0]
        volume = order.volume_current
        if held is None and self._closes(order):
            self.end(order, mt5.ORDER_STATE_CANCELED)
            return
        found = found_volume(volume, self._quotes.terms[order.symbol], None)
        stays = order.type_filling in _REST_STAYS
        if found < volume and not stays and (order.type_filling != mt5.ORDER_FILLING_IOC or not found):
            self.end(order, mt5.ORDER_STATE_CANCELED)
        elif found and not self._has_money(order, held, found, price):
            self.end(order, mt5.ORDER_STATE_REJECTED)
        elif found:
            self._fill(order, found, price, held, keeps_rest=stays)

    def close(self, position: TradePosition, quote: Quote, reason: int, comment: str) -> None:
        """Close the whole position at the quote's other side, whatever the liquidity."""
        side = exposure(position).side
        request = TradeRequest(
            action=mt5.TRADE_ACTION_DEAL,
            magic=position.magic,
            symbol=position.symbol,
            volume=position.volume,
            type=closing_type(side),
            comment=comment,
            position=position.ticket,
        )
        ticket, _ = self._books.next_tickets()
        order = new_order(request, ticket, self._clock(), reason, position.identifier)
        self._fill(order, position.volume, quote[0] if side == 1 else quote[1], position, keeps_rest=False)

    def _fill(
        self, order: TradeOrder, volume: float, price: float, held: TradePosition | None, keeps_rest: bool
    ) -> tuple[TradeOrder, TradeDeal]:
        what = self._quotes.instruments[order.symbol]
        rate = self._quotes.quote_rate(what) or 0.0
        commission = self._quotes.terms[order.symbol].commission
        one = Fill(order, volume, price, held, what, rate, commission, keeps_rest)
        change = fill(one, self._books.next_tickets()[1], self._clock())
        self._books.commit(change)
        return (*change.done, *change.working)[0], change.deals[0]

    def _closes(self, order: TradeOrder) -> bool:
        """Whether it is what remains of a request that closes one position of a hedging account."""
        is_other = order.position_id not in (0, order.ticket)
        return self._account.terms.is_hedging and order.type in MARKET and is_other

    def _held_by(self, order: TradeOrder) -> TradePosition | None:
        """What a working order is netted with: on a hedging account only what it opened itself, or closes."""
        if self._account.terms.is_hedging:
            return self._books.positions.get(order.position_id or order.ticket)
        return next(iter(self._books.positions_of(order.symbol)), None)

    def _has_money(self, order: TradeOrder, held: TradePosition | None, volume: float, price: float) -> bool:
        before = exposure(held) if held is not None else None
        netted = net(before, side_of(order.type), volume, price)
        if not netted.opened:
            return True
        return self._account.blocked((order.symbol, before, netted.after)) <= self._account.equity()


def found_volume(volume: float, terms: Terms, liquidity: float | None) -> float:
    """How much of `volume` finds someone to deal with at once, in whole steps."""
    there = terms.liquidity if liquidity is None else liquidity
    if there >= volume:
        return volume
    return round(math.floor(there / terms.volume_step + 1e-9) * terms.volume_step, 8)
