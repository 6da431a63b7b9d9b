"""What holding a position over the trade server's midnight costs or earns."""

from datetime import UTC, datetime

from pc_agent.twin import constants as mt5
from pc_agent.twin.domain.instrument import Instrument
from pc_agent.twin.domain.terms import Terms

_DAY_MS = 86_400_000
_YEAR_DAYS = 360  # as banks count


def server_day(time_msc: int) -> int:
    """Days since 1970 by the trade server's clock."""
    return time_msc // _DAY_MS


def nights(from_day: int, to_day: int, triple: int) -> int:
    """How many nights are charged from one day to the other: the one after `triple` (DAY_OF_WEEK_*) three times,
    which pays for the weekend's two, and those none."""
    return sum(_weight(day, triple) for day in range(from_day, to_day))


def _weight(day: int, triple: int) -> int:
    weekday = (datetime.fromtimestamp(day * 86_400, UTC).weekday() + 1) % 7  # DAY_OF_WEEK_*: Sunday is 0
    if weekday in (mt5.DAY_OF_WEEK_SUNDAY, mt5.DAY_OF_WEEK_SATURDAY):
        return 0
    return 3 if weekday == triple else 1


def night(
    what: Instrument, terms: Terms, side: int, volume: float, opened_at: float, price: float,
    base_rate: float, quote_rate: float,
) -> float:  # fmt: skip
    """One night's swap in the account's currency; rates are what a unit of base and quote currency is worth in it."""
    given = terms.swap_long if side == 1 else terms.swap_short
    units = volume * what.contract_size
    match terms.swap_mode:
        case mt5.SYMBOL_SWAP_MODE_POINTS:
            return given * what.point * units * quote_rate
        case mt5.SYMBOL_SWAP_MODE_CURRENCY_SYMBOL:
            return given * volume * base_rate
        case mt5.SYMBOL_SWAP_MODE_CURRENCY_MARGIN:
            return given * volume * (base_rate if what.is_forex else quote_rate)
        case mt5.SYMBOL_SWAP_MODE_CURRENCY_DEPOSIT:
            return given * volume
        case mt5.SYMBOL_SWAP_MODE_INTEREST_CURRENT:
            return given / 100 / _YEAR_DAYS * units * price * quote_rate
        case mt5.SYMBOL_SWAP_MODE_INTEREST_OPEN:
            return given / 100 / _YEAR_DAYS * units * opened_at * quote_rate
        case _:
            return 0.0
