"""A terminal's session, its facts and its books, through a module shaped like the MetaTrader5 package."""

import time
from collections.abc import Iterable
from typing import Any

from pc_agent.terminal.messages import AccountFacts, Connected, SymbolFacts, SymbolsShown, WorkerTerms

# `initialize` may have to start the terminal; it must answer before the worker is taken for hung.
_INITIALIZE_MS = 20_000
# Looking for symbols takes at most one part in so many of the worker's time.
_LOOK_SHARE = 200
_IPC_ERRORS = range(-10_005, -9_999)


class TerminalGoneError(Exception):
    """The terminal does not answer, or not as the account that it should."""


def answered(mt5: Any, value: Any, what: str) -> Any:
    """`value`, unless the terminal gave none because it is gone.

    Raises:
        TerminalGoneError: `value` is None and the last error is one of the connection's.
    """
    if value is None:
        code, text = mt5.last_error()
        if code in _IPC_ERRORS:
            raise TerminalGoneError(f"{what}: {text} ({code})")
    return value


def needed(mt5: Any, value: Any, what: str) -> Any:
    """`value`, which must be there.

    Raises:
        TerminalGoneError: it is None.
    """
    if value is None:
        code, text = mt5.last_error()
        raise TerminalGoneError(f"{what}: {text} ({code})")
    return value


def connect(mt5: Any, terms: WorkerTerms, password: str) -> Connected:
    """Initialise, log in where an account is named, and read what the agent needs to know.

    Raises:
        TerminalGoneError: saying why.
    """
    path = (terms.terminal_path,) if terms.terminal_path else ()
    account: dict[str, Any] = {"login": terms.login, "password": password} if terms.login else {}
    if terms.server:
        account["server"] = terms.server
    if not mt5.initialize(*path, **account, timeout=_INITIALIZE_MS):
        code, text = mt5.last_error()
        raise TerminalGoneError(f"initialize: {text} ({code})")
    info = needed(mt5, mt5.account_info(), "account_info")
    if terms.login and (info.login, info.server) != (terms.login, terms.server or info.server):
        raise TerminalGoneError(f"the terminal is logged in to {info.login} at {info.server}, not {terms.login}")
    for name in terms.symbols:
        if not mt5.symbol_select(name, True):
            raise TerminalGoneError(f"the terminal has no symbol {name!r}: correct the setting 'symbols'")
    every = needed(mt5, mt5.symbols_get(), "symbols_get")
    carried = [symbol for symbol in every if (symbol.name in terms.symbols if terms.symbols else symbol.select)]
    return Connected(
        AccountFacts(info.server, info.login, info.trade_mode),
        tuple(_symbol_facts(mt5, symbol) for symbol in carried),
    )


class ShownSymbols:
    """Sees when the terminal shows other symbols: a look every `look_s`.

    A terminal with thousands of symbols takes its time, in which no order is executed: then looks are rarer.
    """

    def __init__(self, mt5: Any, look_s: float) -> None:
        self._mt5 = mt5
        self._look_s = look_s
        self._next = 0.0
        self._names: frozenset[str] = frozenset()

    def joined(self, symbols: Iterable[SymbolFacts]) -> None:
        """What the agent knows of."""
        self._names = frozenset(symbol.symbol for symbol in symbols)
        self._next = time.monotonic() + self._look_s

    def look(self) -> SymbolsShown | None:
        """What changed, when it is time to look.

        Raises:
            TerminalGoneError: the terminal does not answer.
        """
        began = time.monotonic()
        if began < self._next:
            return None
        every = needed(self._mt5, self._mt5.symbols_get(), "symbols_get")
        now = time.monotonic()
        self._next = now + max(self._look_s, _LOOK_SHARE * (now - began))
        shown = [symbol for symbol in every if symbol.select]
        names = frozenset(symbol.name for symbol in shown)
        if names == self._names:
            return None
        self._names = names
        return SymbolsShown(tuple(_symbol_facts(self._mt5, symbol) for symbol in shown))


def _symbol_facts(mt5: Any, info: Any) -> SymbolFacts:
    tick = answered(mt5, mt5.symbol_info_tick(info.name), "symbol_info_tick")
    return SymbolFacts(
        symbol=info.name,
        digits=info.digits,
        volume_min=info.volume_min,
        volume_max=info.volume_max,
        volume_step=info.volume_step,
        contract_size=info.trade_contract_size,
        newest_msc=tick.time_msc if tick else 0,
    )


class BrokerLink:
    """Since when the terminal has had its broker without a break, as the account that it was joined as."""

    def __init__(self, mt5: Any) -> None:
        self._mt5 = mt5
        self._since: float | None = None
        self._account: tuple[str, int] | None = None

    def joined(self, account: AccountFacts) -> None:
        """Whose books and ticks are wanted from here on."""
        self._account = account.server, account.login

    def lost(self) -> None:
        self._since = None

    def check(self) -> float:
        """Ask the terminal; seconds, 0 while the broker is away.

        Raises:
            TerminalGoneError: it does not answer, or a person has logged it in to another account.
        """
        self.require_account()
        info = needed(self._mt5, self._mt5.terminal_info(), "terminal_info")
        if not info.connected:
            self._since = None
        elif self._since is None:
            self._since = time.monotonic()
        return 0.0 if self._since is None else time.monotonic() - self._since

    def require_account(self) -> None:
        """What was read before this call is of the account that was joined.

        Raises:
            TerminalGoneError: it does not answer, or a person has logged it in to another account.
        """
        account = needed(self._mt5, self._mt5.account_info(), "account_info")
        if (account.server, account.login) != self._account:
            raise TerminalGoneError(
                f"the terminal was logged in to another account: {account.login} at {account.server}"
            )
