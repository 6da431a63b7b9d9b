"""What can be traded, and what it is worth in the account's currency."""

from collections.abc import Callable
from dataclasses import dataclass

from pc_agent.twin import constants as mt5
from pc_agent.twin.domain.holding import Holding

_METALS = {"XAU": 100.0, "XAG": 5000.0}
_FOREX_LOT = 100_000.0

Quote = tuple[float, float]  # bid, ask
Quotes = Callable[[str, str], Quote | None]  # of a base and a quote currency


@dataclass(frozen=True)
class Instrument:
    """A symbol's nature: `contract_size` units of `base` in one lot, priced in `quote`."""

    name: str
    digits: int
    base: str
    quote: str
    contract_size: float
    calc_mode: int

    @property
    def point(self) -> float:
        return float(10.0**-self.digits)

    @property
    def is_forex(self) -> bool:
        return self.calc_mode == mt5.SYMBOL_CALC_MODE_FOREX

    def is_based_on(self, currency: str) -> bool:
        """Whether its own price says what its quote currency is worth in `currency`."""
        return self.base == currency != self.quote

    @property
    def margin_currency(self) -> str:
        return self.base if self.is_forex else self.quote


def instrument(name: str, digits: int, account_currency: str) -> Instrument:
    """The nature of `name`: a pair of currencies, a metal, or else one unit in the account's currency."""
    pair = name[:6].upper()
    if len(pair) == 6 and pair.isalpha():
        base, quote = pair[:3], pair[3:]
        if base in _METALS:
            return Instrument(name, digits, base, quote, _METALS[base], mt5.SYMBOL_CALC_MODE_CFDLEVERAGE)
        return Instrument(name, digits, base, quote, _FOREX_LOT, mt5.SYMBOL_CALC_MODE_FOREX)
    return Instrument(name, digits, account_currency, account_currency, 1.0, mt5.SYMBOL_CALC_MODE_CFDLEVERAGE)


def rate(currency: str, account_currency: str, quotes: Quotes) -> float | None:
    """What one unit of `currency` is worth in the account's, by the terminal's own symbols; None: they do not say."""
    if currency == account_currency:
        return 1.0
    direct = quotes(currency, account_currency)
    if direct is not None:
        return direct[0]
    inverse = quotes(account_currency, currency)
    return 1.0 / inverse[1] if inverse is not None else None


def profit(what: Instrument, side: int, volume: float, opened_at: float, closed_at: float, quote_rate: float) -> float:
    """(close - open) * contract size * lots, in the account's currency, whole cents."""
    return round(side * (closed_at - opened_at) * volume * what.contract_size * quote_rate, 2)


@dataclass(frozen=True)
class MarginRule:
    """How much money of the account's currency a symbol's positions block.

    Forex: lots * contract size / leverage in the base currency, at the rate of the position's price. Metals and other
    CFDs: lots * contract size * price / leverage. Lots that are held both ways count with their hedged share.
    """

    what: Instrument
    account_currency: str
    leverage: int
    quote_rate: float
    hedged_share: float = 1.0
    uses_larger_leg: bool = False

    def of(self, volume: float, price: float) -> float:
        """Of `volume` lots in one direction at `price`."""
        in_base = self.what.is_forex and self.what.base == self.account_currency
        unit = 1.0 if in_base else price * self.quote_rate
        return volume * self.what.contract_size * unit / self.leverage

    def of_holding(self, held: Holding) -> float:
        """Of all that is held of the symbol."""
        margins = [
            self.of(lots, worth / lots)
            for lots, worth in ((held.bought, held.bought_worth), (held.sold, held.sold_worth))
            if lots
        ]
        if len(margins) < 2:
            return sum(margins)
        if self.uses_larger_leg:
            return max(margins)
        buys_more = held.bought >= held.sold
        larger = held.bought_worth / held.bought if buys_more else held.sold_worth / held.sold
        uncovered = self.of(abs(held.bought - held.sold), larger)
        mean = (held.bought_worth + held.sold_worth) / (held.bought + held.sold)
        return uncovered + self.of(min(held.bought, held.sold), mean) * self.hedged_share
