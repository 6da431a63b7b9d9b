"""What can go wrong with a call, by name; which call it befalls is scripted, or drawn by seed."""

import random
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from pc_agent.twin import constants as mt5

EXECUTED = "executed-"
EVERY_FUNCTION = "*"
ORDER = "order_send"
# What clients call, by the names that the terminal hears: `initialize` asks for `login`.
FUNCTIONS = frozenset(
    {
        "login", "version", "terminal_info", "account_info", "symbols_total", "symbols_get", "symbol_info",
        "symbol_info_tick", "symbol_select", "market_book_add", "market_book_release", "market_book_get",
        "copy_ticks_from", "copy_ticks_range", "copy_rates_from", "copy_rates_from_pos", "copy_rates_range",
        "order_check", ORDER, "order_calc_margin", "order_calc_profit", "positions_total", "positions_get",
        "orders_total", "orders_get", "history_orders_total", "history_orders_get", "history_deals_total",
        "history_deals_get",
    }
)  # fmt: skip
_SLOW_S = 0.5


@dataclass(frozen=True)
class Trouble:
    """Before or after the execution, in this order; as it stands: none."""

    delay_s: float = 0.0
    hang: bool = False  # no answer until told to stop; then the client is hung up on
    cut: bool = False  # the client is hung up on
    error: int = 0  # RES_E_...: the call fails with it
    retcode: int = 0  # before: it refuses the request; after: it is what the client is told


NO_TROUBLE = Trouble()


@dataclass(frozen=True)
class Fault:
    """What befalls one call. What stands `before` prevents the execution; what stands `after` does not undo it."""

    before: Trouble = NO_TROUBLE
    after: Trouble = NO_TROUBLE
    slippage_points: float = 0.0  # how much worse than the quote it fills
    share: float = 1.0  # of the volume that finds someone to deal with
    offline_s: float = 0.0  # from this call on the terminal is without its broker for so long
    corrects: bool = False  # the broker corrects a tick of the past


class FaultError(ValueError):
    """No fault of that name, or chances that are none; the message says what there is."""


# Each is a fault that prevents the execution, and with "executed-" before its name one that hides it.
_TROUBLES: Mapping[str, Trouble] = MappingProxyType(
    {
        "requote": Trouble(retcode=mt5.TRADE_RETCODE_REQUOTE),
        "reject": Trouble(retcode=mt5.TRADE_RETCODE_REJECT),
        "error": Trouble(retcode=mt5.TRADE_RETCODE_ERROR),
        "timeout": Trouble(retcode=mt5.TRADE_RETCODE_TIMEOUT),
        "market-closed": Trouble(retcode=mt5.TRADE_RETCODE_MARKET_CLOSED),
        "no-money": Trouble(retcode=mt5.TRADE_RETCODE_NO_MONEY),
        "price-changed": Trouble(retcode=mt5.TRADE_RETCODE_PRICE_CHANGED),
        "price-off": Trouble(retcode=mt5.TRADE_RETCODE_PRICE_OFF),
        "too-many-requests": Trouble(retcode=mt5.TRADE_RETCODE_TOO_MANY_REQUESTS),
        "locked": Trouble(retcode=mt5.TRADE_RETCODE_LOCKED),
        "frozen": Trouble(retcode=mt5.TRADE_RETCODE_FROZEN),
        "no-connection": Trouble(retcode=mt5.TRADE_RETCODE_CONNECTION),
        "none": Trouble(error=mt5.RES_E_FAIL),
        "send-failed": Trouble(error=mt5.RES_E_INTERNAL_FAIL_SEND),
        "receive-failed": Trouble(error=mt5.RES_E_INTERNAL_FAIL_RECEIVE),
        "init-failed": Trouble(error=mt5.RES_E_INTERNAL_FAIL_INIT),
        "no-ipc": Trouble(error=mt5.RES_E_INTERNAL_FAIL_CONNECT),
        "ipc-timeout": Trouble(error=mt5.RES_E_INTERNAL_FAIL_TIMEOUT),
        "slow": Trouble(delay_s=_SLOW_S),
        "cut": Trouble(cut=True),
        "hang": Trouble(hang=True),
    }
)
FAULTS: Mapping[str, Fault] = MappingProxyType(
    {
        **{name: Fault(before=trouble) for name, trouble in _TROUBLES.items()},
        **{EXECUTED + name: Fault(after=trouble) for name, trouble in _TROUBLES.items()},
        "slip": Fault(slippage_points=3.0),
        "slip-better": Fault(slippage_points=-2.0),
        "partial": Fault(share=0.5),
        "nobody": Fault(share=0.0),
        "offline": Fault(offline_s=2.0),
        "correction": Fault(corrects=True),
    }
)


def fault_named(name: str) -> Fault:
    """One of FAULTS, or a trade retcode's number, with "executed-" before it or not.

    Raises:
        FaultError
    """
    if name in FAULTS:
        return FAULTS[name]
    number = name.removeprefix(EXECUTED)
    if not re.fullmatch("10[0-9]{3}", number):
        raise FaultError(f"there is no fault {name!r}; known are {', '.join(FAULTS)}, or a retcode's number")
    trouble = Trouble(retcode=int(number))
    return Fault(before=trouble) if number == name else Fault(after=trouble)


@dataclass(frozen=True)
class Chance:
    """How likely a call of `function` meets the fault."""

    function: str
    name: str
    probability: float


def parse_chances(texts: Iterable[str]) -> tuple[Chance, ...]:
    """Of texts such as "requote=0.05" (of order_send) or "positions_get:hang=0.001" ("*": every function).

    Raises:
        FaultError
    """
    chances = tuple(_chance(text) for text in texts)
    for function in {chance.function for chance in chances}:
        total = sum(chance.probability for chance in chances if chance.function in (function, EVERY_FUNCTION))
        if total > 1:
            raise FaultError(f"the faults of {function} have a probability of {total:g}: at most 1")
    return chances


def require_function(name: str) -> None:
    """Raises FaultError when clients call none of that name."""
    if name != EVERY_FUNCTION and name not in FUNCTIONS:
        raise FaultError(f"clients call no {name!r}; they call {', '.join(sorted(FUNCTIONS))}, or '*' for every one")


def _chance(text: str) -> Chance:
    match = re.fullmatch(r"(?:(?P<function>\*|\w+):)?(?P<name>[\w-]+)=(?P<probability>[0-9.e-]+)", text)
    try:
        probability = float(match["probability"]) if match else -1.0
    except ValueError:
        probability = -1.0
    if match is None or not 0 <= probability <= 1:
        raise FaultError(f"{text!r} is not FAULT=PROBABILITY or FUNCTION:FAULT=PROBABILITY")
    fault_named(match["name"])
    require_function(match["function"] or ORDER)
    return Chance(match["function"] or ORDER, match["name"], probability)


@dataclass(frozen=True)
class Scripted:
    """The next `times` calls of `function` meet the fault; with a symbol, only trade requests for it."""

    name: str
    function: str = ORDER
    symbol: str = ""
    times: int = 1
    delay_s: float = 0.0  # more than the fault has of itself: before the execution, or without the broker

    def takes(self, function: str, symbol: str) -> bool:
        return self.function in (function, EVERY_FUNCTION) and self.symbol in (symbol, "")

    def fault(self) -> Fault:
        fault = fault_named(self.name)
        if not self.delay_s:
            return fault
        if fault.offline_s:
            return replace(fault, offline_s=fault.offline_s + self.delay_s)
        return replace(fault, before=replace(fault.before, delay_s=fault.before.delay_s + self.delay_s))


class FaultPlan:
    """What is scripted comes first, in its order; then chance."""

    def __init__(self, chances: tuple[Chance, ...], seed: int) -> None:
        self._chances = chances
        self._random = random.Random(seed)
        self._scripted: list[Scripted] = []
        self.befell: Counter[str] = Counter()  # by the fault's name

    def script(self, scripted: Scripted) -> None:
        """Raises FaultError when there is no such fault or function."""
        fault_named(scripted.name)
        require_function(scripted.function)
        self._scripted.append(scripted)

    def chance(self, chances: tuple[Chance, ...], seed: int) -> None:
        """These from now on, in place of those before."""
        self._chances, self._random = chances, random.Random(seed)

    def clear(self) -> None:
        """Nothing goes wrong any more."""
        self._scripted.clear()
        self._chances = ()

    def draw(self, function: str, symbol: str) -> Fault:
        """What befalls this call."""
        for place, scripted in enumerate(self._scripted):
            if scripted.takes(function, symbol):
                rest = [replace(scripted, times=scripted.times - 1)] if scripted.times > 1 else []
                self._scripted[place : place + 1] = rest
                return self._happens(scripted.name, scripted.fault())
        likely = [chance for chance in self._chances if chance.function in (function, EVERY_FUNCTION)]
        if likely:
            left = self._random.random()
            for chance in likely:
                left -= chance.probability
                if left < 0:
                    return self._happens(chance.name, fault_named(chance.name))
        return Fault()

    def _happens(self, name: str, fault: Fault) -> Fault:
        self.befell[name] += 1
        return fault
