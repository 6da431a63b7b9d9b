"""What a terminal says of itself, in words a person can act on."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

SLOW_PING_MS = 500.0
LOSSY_PERCENT = 5.0
_MOST_NAMED = 10


@dataclass(frozen=True, slots=True)
class TerminalHealth:
    """As terminal_info and account_info have it."""

    connected: bool
    # The terminal's button.
    trade_allowed: bool
    tradeapi_disabled: bool
    # The broker's word on the account: at all, and by programs.
    account_trade_allowed: bool
    account_trade_expert: bool
    dlls_allowed: bool
    ping_ms: float
    retransmission_percent: float
    build: int


@dataclass(frozen=True, slots=True)
class Finding:
    """UPPER_SNAKE, and what is wrong and what to do; `forbids_trading`: no order would be taken."""

    reason: str
    sentence: str
    forbids_trading: bool = False


def findings(health: TerminalHealth) -> tuple[Finding, ...]:
    """What is wrong; none: it is healthy."""
    return tuple(_forbidding(health)) + tuple(_hindering(health))


def unknown_symbols(names: Sequence[str], carries_others: bool) -> tuple[Finding, ...]:
    """Of the symbols that the settings name, those that the terminal has not got: a broker may take any away."""
    if not names:
        return ()
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    named = f"{', '.join(names[:_MOST_NAMED])}{more}"
    what_to_do = "correct `symbols` or `symbol_names` in the settings, or ask the broker"
    if carries_others:
        sentence = f"the terminal has no symbol {named}: {what_to_do}; all others are traded meanwhile"
    else:
        sentence = f"the terminal has none of the symbols wanted, no {named}: {what_to_do}; nothing is traded meanwhile"
    return (Finding("UNKNOWN_SYMBOLS", sentence),)


def _forbidding(health: TerminalHealth) -> Iterator[Finding]:
    if not health.trade_allowed:
        sentence = "AutoTrading is off in the terminal: press the button 'Algo Trading' (AutoTrading)"
        yield Finding("AUTOTRADING_OFF", sentence, True)
    if health.tradeapi_disabled:
        sentence = (
            "trading through the Python API is disabled in the terminal: clear the box under Tools, Options, "
            "Expert Advisors"
        )
        yield Finding("TRADE_API_DISABLED", sentence, True)
    if health.connected and not health.account_trade_allowed:
        sentence = (
            "the account may not trade: log in with the trading password instead of the investor's, or ask the broker"
        )
        yield Finding("ACCOUNT_MAY_NOT_TRADE", sentence, True)
    if health.connected and not health.account_trade_expert:
        sentence = "the broker forbids programs to trade on this account: ask the broker to allow it"
        yield Finding("EXPERTS_FORBIDDEN", sentence, True)


def _hindering(health: TerminalHealth) -> Iterator[Finding]:
    if not health.connected:
        sentence = "the terminal has no connection to its broker: see the PC's network and the terminal's journal"
        yield Finding("NO_BROKER", sentence)
        return
    # Without the figures, which never stand still: these sentences are told when they change.
    if health.ping_ms > SLOW_PING_MS:
        sentence = f"the broker takes more than {SLOW_PING_MS:g} ms to answer: choose a nearer access point or PC"
        yield Finding("SLOW_BROKER", sentence)
    if health.retransmission_percent > LOSSY_PERCENT:
        sentence = f"more than {LOSSY_PERCENT:g} % of what the terminal sends is lost: mend the PC's network"
        yield Finding("LOSSY_NETWORK", sentence)
