"""A terminal's session and its health, through a module shaped like the MetaTrader5 package."""

import time
from typing import Any

from pc_agent.domain.terminal_health import TerminalHealth
from pc_agent.terminal.messages import AccountFacts, HealthSeen, WorkerTerms

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


def connect(mt5: Any, terms: WorkerTerms, password: str) -> AccountFacts:
    """Initialise, log in where an account is named, and see whose account it is.

    Raises:
        TerminalGoneError: saying why.
    """
    path = (terms.path,) if terms.path else ()
    named: dict[str, Any] = {"login": terms.login, "password": password} if terms.login else {}
    if terms.server:
        named["server"] = terms.server
    if terms.portable:
        named["portable"] = True
    if not mt5.initialize(*path, **named, timeout=terms.initialize_timeout_ms):
        code, text = mt5.last_error()
        raise TerminalGoneError(f"initialize: {text} ({code})")
    info = needed(mt5, mt5.account_info(), "account_info")
    if terms.login and (info.login, info.server) != (terms.login, terms.server or info.server):
        raise TerminalGoneError(f"the terminal is logged in to {info.login} at {info.server}, not {terms.login}")
    return AccountFacts(info.server, info.login, info.trade_mode, info.margin_mode, info.currency, info.leverage)


class BrokerLink:
    """Whether the terminal has its broker, as the account that it was joined as, and how healthy it is.

    Health is told when what is wrong changed, and every `health_s`.
    """

    def __init__(self, mt5: Any, health_s: float = 30.0) -> None:
        self.health_s = health_s
        self._mt5 = mt5
        self._since: float | None = None
        self._account: tuple[str, int] | None = None
        self._infos: tuple[Any, Any] | None = None
        self._told: HealthSeen | None = None
        self._told_at = 0.0

    def joined(self, account: AccountFacts) -> None:
        """Whose books and ticks are wanted from here on."""
        self._account = account.server, account.login
        self._told = None

    def lost(self) -> None:
        self._since = self._infos = None

    def check(self) -> float:
        """Ask the terminal; seconds since when it has had its broker without a break, 0 while that is away.

        Raises:
            TerminalGoneError: it does not answer, or a person has logged it in to another account.
        """
        account = self.require_account()
        info = needed(self._mt5, self._mt5.terminal_info(), "terminal_info")
        if not info.connected:
            self._since = None
        elif self._since is None:
            self._since = time.monotonic()
        self._infos = info, account
        return 0.0 if self._since is None else time.monotonic() - self._since

    def require_account(self) -> Any:
        """What was read before this call is of the account that was joined; the terminal's account_info.

        Raises:
            TerminalGoneError: it does not answer, or a person has logged it in to another account.
        """
        account = needed(self._mt5, self._mt5.account_info(), "account_info")
        if (account.server, account.login) != self._account:
            raise TerminalGoneError(
                f"the terminal was logged in to another account: {account.login} at {account.server}"
            )
        return account

    def news(self) -> HealthSeen | None:
        """What the last check saw, when it is to be told."""
        if self._infos is None:
            return None
        seen, told, now = _seen(*self._infos, self._since), self._told, time.monotonic()
        if told is not None and not seen.differs(told) and now - self._told_at < self.health_s:
            return None
        self._told, self._told_at = seen, now
        return seen


def _seen(info: Any, account: Any, since: float | None) -> HealthSeen:
    return HealthSeen(_health(info, account), since, info.path, account.company, account.balance, account.equity)


def _health(info: Any, account: Any) -> TerminalHealth:
    return TerminalHealth(
        connected=bool(info.connected),
        trade_allowed=bool(info.trade_allowed),
        tradeapi_disabled=bool(info.tradeapi_disabled),
        account_trade_allowed=bool(account.trade_allowed),
        account_trade_expert=bool(account.trade_expert),
        dlls_allowed=bool(info.dlls_allowed),
        ping_ms=info.ping_last / 1000,
        retransmission_percent=float(info.retransmission),
        build=info.build,
    )
