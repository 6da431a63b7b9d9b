"""What is checked of signals before they are in the ledger, a batch at a time: all that needs no price.

Nothing is refused here that makes an exposure smaller and that the broker might take.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from mesh.orders import ENTRIES, PENDING_KINDS, Kind
from pc_agent.domain.orders import Account, Side, Signal
from pc_agent.domain.refusal import Refusal
from pc_agent.domain.symbols import CLOSE_ONLY, DISABLED, LONG_ONLY, SHORT_ONLY, SymbolFacts

_NEEDED = {
    Kind.MARKET: ("side", "volume"),
    Kind.LIMIT: ("side", "volume", "price"),
    Kind.STOP: ("side", "volume", "price"),
    Kind.STOP_LIMIT: ("side", "volume", "price", "limit_price"),
    Kind.CLOSE: ("position",),
    Kind.CLOSE_BY: ("position", "opposite_position"),
    Kind.MODIFY_POSITION: ("position",),
    Kind.MODIFY_ORDER: ("order_ticket",),
    Kind.CANCEL_ORDER: ("order_ticket",),
}
# SYMBOL_ORDER_*: what a symbol's orders may be and bear.
_ORDER_MODES = {Kind.MARKET: 1, Kind.LIMIT: 2, Kind.STOP: 4, Kind.STOP_LIMIT: 8}
_STOP_LOSS, _TAKE_PROFIT = 16, 32
# Before the point, and behind it.
_MOST_DIGITS = 12
# SYMBOL_EXPIRATION_*.
_TILL_CANCELED, _SPECIFIED = 1, 4


@dataclass(frozen=True, slots=True)
class Terms:
    """What signals are judged by. `symbols` by the mesh's names; `now_unix_ms` on the server's clock, None: unknown."""

    account: Account
    epoch: int
    symbols: Mapping[str, SymbolFacts]
    is_hedging: bool
    now_unix_ms: int | None


def refusals(signals: Sequence[Signal], terms: Terms) -> list[Refusal | None]:
    """For each signal why it is not to be executed; None: it may."""
    return [refusal(signal, terms) for signal in signals]


def refusal(signal: Signal, terms: Terms) -> Refusal | None:
    """Why `signal` can not be executed; None: it can, as far as is known without a price."""
    if wrong := defect(signal):
        return Refusal("INVALID_SIGNAL", wrong)
    if refused := _misdirected(signal, terms):
        return refused
    facts = terms.symbols.get(signal.symbol)
    if facts is None:
        return Refusal("UNKNOWN_SYMBOL", f"the terminal shows no symbol {signal.symbol!r}")
    return (
        _volume(signal, facts)
        or _off_tick(signal, facts)
        or _trade_mode(signal, facts, terms.is_hedging)
        or _order_mode(signal, facts)
        or _expiration(signal, facts, terms.now_unix_ms)
    )


def defect(signal: Signal) -> str:
    """Which field is wrong in itself, in words; empty: none."""
    if signal.kind not in _NEEDED:
        return "kind is not set, or not one that this agent knows"
    for name in ("signal_id", "symbol", *_NEEDED[signal.kind]):
        if not getattr(signal, name):
            return f"{name} is not set; a {signal.kind} order needs it"
    for name in ("volume", "stop_loss", "take_profit", "price", "limit_price"):
        text = getattr(signal, name)
        if text and decimal(text) <= 0:
            return f"{name} {text!r} is not a positive decimal number"
    return ""


def decimal(text: str) -> Decimal:
    """-1 for what is no finite number, or longer than the mesh lets any be: it could not be reckoned with."""
    try:
        number = Decimal(text)
    except InvalidOperation:
        return Decimal(-1)
    _, digits, exponent = number.as_tuple()
    fits = isinstance(exponent, int) and exponent >= -_MOST_DIGITS and len(digits) + exponent <= _MOST_DIGITS
    return number if fits else Decimal(-1)


def _misdirected(signal: Signal, terms: Terms) -> Refusal | None:
    if signal.account != terms.account:
        theirs, ours = signal.account, terms.account
        message = f"it is for {theirs.login} at {theirs.server}, this terminal is logged in to {ours.login}"
        return Refusal("WRONG_ACCOUNT", message)
    if signal.seq and signal.epoch != terms.epoch:
        return Refusal("EPOCH_SUPERSEDED", f"it is of epoch {signal.epoch}, {terms.epoch} is in force")
    if signal.kind is Kind.CLOSE_BY and not terms.is_hedging:
        return Refusal("HEDGING_ONLY", "a netting account has no opposite positions to close by each other")
    return None


def _volume(signal: Signal, facts: SymbolFacts) -> Refusal | None:
    if not signal.volume:
        return None
    volume, step = Decimal(signal.volume), _exact(facts.volume_step)
    least, most, limit = _exact(facts.volume_min), _exact(facts.volume_max), _exact(facts.volume_limit)
    name = f"volume {signal.volume} of {signal.symbol}"
    if volume < least:
        return Refusal("VOLUME_TOO_SMALL", f"{name} is under the broker's minimum of {least} lots")
    if most and volume > most:
        return Refusal("VOLUME_TOO_LARGE", f"{name} is over the broker's maximum of {most} lots")
    if limit and volume > limit and signal.kind in ENTRIES:
        return Refusal("VOLUME_OVER_LIMIT", f"{name} is over the broker's limit of {limit} lots in one direction")
    if step and volume % step:
        return Refusal("VOLUME_OFF_STEP", f"{name} is not a multiple of {step} lots")
    return None


def _off_tick(signal: Signal, facts: SymbolFacts) -> Refusal | None:
    tick = _exact(facts.tick_size or facts.point)
    if not tick:
        return None
    for name in ("price", "limit_price", "stop_loss", "take_profit"):
        text = getattr(signal, name)
        if text and Decimal(text) % tick:
            return Refusal("PRICE_OFF_TICK", f"{name} {text} of {signal.symbol} is not a multiple of {tick}")
    return None


def _trade_mode(signal: Signal, facts: SymbolFacts, is_hedging: bool) -> Refusal | None:
    if signal.kind not in ENTRIES:
        return None
    if facts.trade_mode == DISABLED:
        return Refusal("SYMBOL_DISABLED", f"the broker does not let {signal.symbol} be traded")
    if signal.kind is Kind.MARKET and not is_hedging:
        return None  # it may make the position smaller
    if facts.trade_mode == CLOSE_ONLY:
        return Refusal("CLOSE_ONLY", f"the broker only lets positions of {signal.symbol} be closed")
    if facts.trade_mode == LONG_ONLY and signal.side is Side.SELL:
        return Refusal("LONG_ONLY", f"the broker only lets {signal.symbol} be bought")
    if facts.trade_mode == SHORT_ONLY and signal.side is Side.BUY:
        return Refusal("SHORT_ONLY", f"the broker only lets {signal.symbol} be sold")
    return None


def _order_mode(signal: Signal, facts: SymbolFacts) -> Refusal | None:
    modes = facts.order_mode
    if signal.kind in ENTRIES and not modes & _ORDER_MODES[signal.kind]:
        return Refusal("KIND_NOT_ALLOWED", f"the broker takes no {signal.kind} orders of {signal.symbol}")
    if signal.stop_loss and not modes & _STOP_LOSS:
        return Refusal("STOP_LOSS_NOT_ALLOWED", f"the broker takes no stop loss of {signal.symbol}")
    if signal.take_profit and not modes & _TAKE_PROFIT:
        return Refusal("TAKE_PROFIT_NOT_ALLOWED", f"the broker takes no take profit of {signal.symbol}")
    return None


def _expiration(signal: Signal, facts: SymbolFacts, now_unix_ms: int | None) -> Refusal | None:
    if signal.kind not in PENDING_KINDS and signal.kind is not Kind.MODIFY_ORDER:
        return None
    if not signal.expires_unix_ms:
        if facts.expiration_mode & _TILL_CANCELED:
            return None
        return Refusal("EXPIRATION_NEEDED", f"a pending order of {signal.symbol} must say when it expires")
    if not facts.expiration_mode & _SPECIFIED:
        return Refusal("EXPIRATION_NOT_ALLOWED", f"the broker takes no expiration of {signal.symbol}'s orders")
    if now_unix_ms is not None and signal.expires_unix_ms <= now_unix_ms:
        return Refusal("EXPIRATION_PAST", "the pending order would have expired already")
    return None


def _exact(value: float) -> Decimal:
    return Decimal(repr(float(value)))
