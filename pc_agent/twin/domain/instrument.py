"""What can be traded, and what it is worth in the account's currency."""

from collections.abc import Callable
from dataclasses import dataclass

from pc_agent.twin.constants import ORDER_FILLING_FOK, ORDER_FILLING_IOC

# The package leaves these bit masks out; SymbolInfo.filling_mode and .order_mode are made of them.
SYMBOL_FILLING_FOK, SYMBOL_FILLING_IOC = 1, 2
SYMBOL_ORDER_MARKET, SYMBOL_ORDER_SL, SYMBOL_ORDER_TP = 1, 16, 32

SUPPORTED_FILLINGS = (ORDER_FILLING_FOK, ORDER_FILLING_IOC)

VOLUME_MIN, VOLUME_MAX, VOLUME_STEP = 0.01, 100.0, 0.01

_METALS = {"XAU": 100.0, "XAG": 5000.0}
_FOREX_LOT = 100_000.0

Quote = tuple[float, float]  # bid, ask
Quotes = Callable[[str], Quote | None]


@dataclass(frozen=True)
class Instrument:
    """A symbol's terms: `contract_size` units of `base` in one lot, priced in `quote`."""

    name: str
    digits: int
    base: str
    quote: str
    contract_size: float

    @property
    def point(self) -> float:
        return float(10.0**-self.digits)

    @property
    def is_metal(self) -> bool:
        return self.base in _METALS


def instrument(name: str, digits: int, account_currency: str) -> Instrument:
    """The terms of `name`: a pair of currencies or a metal; anything else is one unit in the account's currency."""
    pair = name[:6].upper()
    if len(pair) == 6 and pair.isalpha():
        return Instrument(name, digits, pair[:3], pair[3:], _METALS.get(pair[:3], _FOREX_LOT))
    return Instrument(name, digits, account_currency, account_currency, 1.0)


def volume_is_valid(volume: float) -> bool:
    """Within the limits and on the step; NaN is not."""
    if not VOLUME_MIN <= volume <= VOLUME_MAX:
        return False
    steps = volume / VOLUME_STEP
    return abs(steps - round(steps)) < 1e-6


def rate(currency: str, account_currency: str, quotes: Quotes) -> float | None:
    """What one unit of `currency` is worth in the account's, by the terminal's own symbols; None: they do not say."""
    if currency == account_currency:
        return 1.0
    direct = quotes(currency + account_currency)
    if direct is not None:
        return direct[0]
    inverse = quotes(account_currency + currency)
    return 1.0 / inverse[1] if inverse is not None else None


def profit(terms: Instrument, side: int, volume: float, opened_at: float, closed_at: float, quote_rate: float) -> float:
    """Money in the account's currency, whole cents."""
    return round(side * (closed_at - opened_at) * volume * terms.contract_size * quote_rate, 2)


def margin(terms: Instrument, volume: float, price: float, quote_rate: float, leverage: int) -> float:
    """Money in the account's currency that holding `volume` lots blocks, whole cents."""
    return round(volume * terms.contract_size * price * quote_rate / leverage, 2)
