"""What is checked of an order against the price of the moment, right before it is sent."""

from dataclasses import dataclass

from mesh.orders import ENTRIES, PENDING_KINDS, Kind
from pc_agent.domain.orders import Side, Signal
from pc_agent.domain.refusal import Refusal

# Points are quotients of doubles.
_SLACK = 1e-6


@dataclass(frozen=True, slots=True)
class PriceBounds:
    """What must hold of the price at the moment of sending; 0: no bound (but of the deviation)."""

    deviation_points: int
    max_spread_points: int = 0
    max_quote_age_ms: int = 0


@dataclass(frozen=True, slots=True)
class Market:
    """A symbol at a moment. `age_ms`: for how long the quote has stood; levels in points."""

    symbol: str
    bid: float
    ask: float
    age_ms: float
    point: float
    stops_level: int
    freeze_level: int

    def opening(self, side: Side) -> float:
        """What an order of this side is filled at."""
        return self.ask if side is Side.BUY else self.bid

    def closing(self, side: Side) -> float:
        """What a position of this side is closed at."""
        return self.bid if side is Side.BUY else self.ask

    def points(self, above: float, below: float) -> float:
        return (above - below) / self.point if self.point else 0.0


@dataclass(frozen=True, slots=True)
class Prices:
    """Of an order or a position: where it is filled, its stops; 0: none."""

    side: Side
    price: float
    stop_loss: float = 0.0
    take_profit: float = 0.0
    limit_price: float = 0.0


def quote_refusal(signal: Signal, market: Market, bounds: PriceBounds) -> Refusal | None:
    """Whether there is a price, and one to enter at."""
    if not (market.bid > 0 and market.ask > 0):
        return Refusal("NO_QUOTE", f"the terminal has no quote of {market.symbol}")
    if signal.kind not in ENTRIES:
        return None
    if bounds.max_quote_age_ms and market.age_ms > bounds.max_quote_age_ms:
        message = f"{market.symbol} was quoted {market.age_ms / 1000:.1f} s ago, at most"
        return Refusal("QUOTE_TOO_OLD", f"{message} {bounds.max_quote_age_ms / 1000:g} s are allowed")
    spread = market.points(market.ask, market.bid)
    if bounds.max_spread_points and spread > bounds.max_spread_points + _SLACK:
        message = f"the spread of {market.symbol} is {spread:.0f} points"
        return Refusal("SPREAD_TOO_WIDE", f"{message}, at most {bounds.max_spread_points} are allowed")
    return None


def slippage_refusal(side: Side, price: float, first_price: float, market: Market, deviation: int) -> Refusal | None:
    """Whether the price ran away since the first attempt."""
    worse = price - first_price if side is Side.BUY else first_price - price
    moved = market.points(worse, 0.0)
    if not first_price or moved <= deviation + _SLACK:
        return None
    return Refusal("PRICE_MOVED", f"{market.symbol} moved by {moved:.0f} points, at most {deviation} are allowed")


def margin_refusal(lots: str, symbol: str, margin: float, free: float, currency: str) -> Refusal | None:
    """Whether the account's free margin is enough for so many lots; `margin` 0: nobody knows what they need."""
    if margin <= free or not margin:
        return None
    message = f"{lots} lots of {symbol} need a margin of {margin:.2f} {currency}, {free:.2f} {currency} are free"
    return Refusal("NOT_ENOUGH_MARGIN", message)


def pending_refusal(kind: Kind, order: Prices, market: Market) -> Refusal | None:
    """A limit waits at a better price than the market's, a stop at a worse one; a stop-limit's limit is better than
    its stop."""
    assert kind in PENDING_KINDS
    up = 1 if order.side is Side.BUY else -1
    away = -up if kind is Kind.LIMIT else up
    if not _is_beyond(order.price, market.opening(order.side), away, market):
        return _too_near("price", order.price, "PRICE_TOO_NEAR", market)
    if kind is Kind.STOP_LIMIT and not _is_beyond(order.limit_price, order.price, -up, market):
        return _too_near("limit_price", order.limit_price, "LIMIT_PRICE_TOO_NEAR", market, order.price)
    return None


def stops_refusal(held: Prices, market: Market) -> Refusal | None:
    """A stop loss lies on the losing side of the price that it is held against (`held.price`), a take profit beyond it,
    both as far away as the broker wants."""
    up = 1 if held.side is Side.BUY else -1
    if held.stop_loss and not _is_beyond(held.stop_loss, held.price, -up, market):
        return _too_near("stop_loss", held.stop_loss, "STOP_LOSS_TOO_NEAR", market, held.price)
    if held.take_profit and not _is_beyond(held.take_profit, held.price, up, market):
        return _too_near("take_profit", held.take_profit, "TAKE_PROFIT_TOO_NEAR", market, held.price)
    return None


def freeze_refusal(prices: tuple[float, ...], against: float, market: Market) -> Refusal | None:
    """Whether one of `prices` is so near to the market that the broker lets nobody touch it any more."""
    for price in prices:
        if price and market.freeze_level and abs(market.points(price, against)) <= market.freeze_level + _SLACK:
            message = f"{price:g} is within {market.freeze_level} points of the market: the broker is about to execute"
            return Refusal("PRICE_FROZEN", message)
    return None


def _is_beyond(price: float, other: float, direction: int, market: Market) -> bool:
    away = market.points(price, other) * direction
    return away > 0 and away + _SLACK >= market.stops_level


def _too_near(name: str, price: float, reason: str, market: Market, against: float = 0.0) -> Refusal:
    """`against`: the price that it is held against, of which one of the market's own is told by the quote."""
    quote = f"{market.symbol} is at {market.bid:g}/{market.ask:g}"
    if market.stops_level:
        quote += f", the least distance is {market.stops_level} points"
    other = f"the order's price {against:g}" if against not in (0.0, market.bid, market.ask) else "the market"
    return Refusal(reason, f"{name} {price:g} is too near to {other} or on its wrong side: {quote}")
