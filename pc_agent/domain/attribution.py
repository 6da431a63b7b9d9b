"""Whose a deal is: a signal's own fill, or a trade that no signal stands for and that may move what is ours.

What is ours of a position is counted as the engine counts it: by what signals report as filled and by the external
deals. A position is ours when a signal of ours opened it or a person adopted it; then every deal on it is. On a netting
account a signal may also trade into a foreign position: then a share of it is ours, and foreign deals use up the
foreign share first.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum

from mesh.orders import TRADES
from pc_agent.domain.books import (
    BY_HAND,
    DEAL_BUY,
    DEAL_SELL,
    ENTRY_IN,
    ENTRY_OUT_BY,
    REASON_EXPERT,
    REASON_STOP_LOSS,
    REASON_STOP_OUT,
    REASON_TAKE_PROFIT,
    BookDeal,
)
from pc_agent.domain.orders import OrderState, Side, Signal

ZERO = Decimal(0)
# No other fill will be reported of such a signal. One that was called dead becomes FILLED when its deal turns up.
_OVER = frozenset({OrderState.FILLED, OrderState.DONE})


class Cause(StrEnum):
    """Of a trade that no signal stands for (suho.trading.v1.DealCause)."""

    STOP_LOSS = "STOP_LOSS"
    TAKE_PROFIT = "TAKE_PROFIT"
    STOP_OUT = "STOP_OUT"
    BY_HAND = "BY_HAND"
    OTHER_PROGRAM = "OTHER_PROGRAM"
    AGENT = "AGENT"
    ADOPTED = "ADOPTED"


_CAUSES = {
    REASON_STOP_LOSS: Cause.STOP_LOSS,
    REASON_TAKE_PROFIT: Cause.TAKE_PROFIT,
    REASON_STOP_OUT: Cause.STOP_OUT,
    **dict.fromkeys(BY_HAND, Cause.BY_HAND),
}


@dataclass(frozen=True, slots=True)
class Holding:
    """A position as its deals made it: lots, signed."""

    position: int
    symbol: str
    # The signal that opened it, or its adoption; empty: it is foreign.
    owner: str = ""
    # The newest signal that traded into it while it was foreign.
    sharer: str = ""
    total: Decimal = ZERO
    ours: Decimal = ZERO


@dataclass(frozen=True, slots=True)
class Claim:
    """The signal whose mark a deal bears: how it stands, and what it has of other deals already."""

    signal: Signal
    state: OrderState
    # As reported; empty: nothing.
    reported: str = ""
    seen: Decimal = ZERO


@dataclass(frozen=True, slots=True)
class External:
    """A trade to be told to the engine: `moved` is by how many lots, signed, what is ours changed."""

    deal: BookDeal
    moved: Decimal
    cause: Cause
    # Whose lots they are; empty: the position is foreign, and nothing moved.
    signal_id: str


@dataclass(frozen=True, slots=True)
class Attribution:
    """What a deal did to its position. `own`: a signal's report tells of it; else `external` does."""

    holding: Holding
    own: str
    external: External | None


def is_trade(deal: BookDeal) -> bool:
    """A balance operation, a commission, a dividend moves no lots."""
    return deal.type in (DEAL_BUY, DEAL_SELL) and bool(deal.symbol)


def is_filled_by(deal: BookDeal, claim: Claim | None) -> bool:
    """A stop bears the mark of the order that opened its position, and is not that order's fill."""
    if claim is None or deal.reason != REASON_EXPERT or claim.signal.kind not in TRADES:
        return False
    side = claim.signal.side
    return side is None or deal.type == (DEAL_BUY if side is Side.BUY else DEAL_SELL)


def is_told_by_report(deal: BookDeal, claim: Claim | None) -> bool:
    """The signal's own report tells the engine of this fill; a signal of the agent's own has none that it hears."""
    if claim is None or not is_filled_by(deal, claim) or claim.signal.seq == 0:
        return False
    return claim.state not in _OVER or claim.seen + abs(deal.signed) <= Decimal(claim.reported or 0)


def opens(deal: BookDeal) -> bool:
    """It made its position, which bears its order's ticket ever after."""
    return deal.entry == ENTRY_IN and deal.order == deal.position


def can_tell_owner(deal: BookDeal, holding: Holding | None, opener: str) -> bool:
    """Deals may be shown before the one that opened their position."""
    return holding is not None or bool(opener) or opens(deal)


def attribute(deal: BookDeal, holding: Holding | None, claim: Claim | None, opener: str) -> Attribution:
    """What `deal` did. `opener`: who is known to have opened its position, from the ledger or by adoption."""
    told = is_told_by_report(deal, claim)
    if holding is None:
        owner = opener or (claim.signal.signal_id if claim and opens(deal) and is_filled_by(deal, claim) else "")
        holding = Holding(deal.position, deal.symbol, owner)
    total = holding.total + deal.signed
    if told:
        assert claim is not None
        own = claim.signal.signal_id
        sharer = holding.sharer if holding.owner else own
        after = replace(holding, total=total, ours=holding.ours + deal.signed, sharer=sharer)
        return Attribution(after, own, None)
    ours = holding.ours + deal.signed if holding.owner else _share_after(holding, total)
    after = replace(holding, total=total, ours=ours)
    moved = ours - holding.ours
    whose = (holding.owner or holding.sharer) if moved else holding.owner
    return Attribution(after, "", External(deal, moved, _cause(deal, claim), whose))


def net_by_symbol(holdings: Mapping[int, Holding]) -> dict[str, Decimal]:
    """What is ours, as the engine is to count it; flat symbols are left out."""
    nets: dict[str, Decimal] = {}
    for holding in holdings.values():
        nets[holding.symbol] = nets.get(holding.symbol, ZERO) + holding.ours
    return {symbol: net for symbol, net in nets.items() if net}


def _share_after(holding: Holding, total: Decimal) -> Decimal:
    """What stays ours of a foreign position that somebody else traded in."""
    ours = holding.ours
    if not ours or not total:
        return ZERO
    if (total > 0) == (ours > 0):
        return min(ours, total) if ours > 0 else max(ours, total)
    reversed_by_them = bool(holding.total) and (holding.total > 0) == (ours > 0)
    return ZERO if reversed_by_them else ours


def _cause(deal: BookDeal, claim: Claim | None) -> Cause:
    by_us = claim is not None and deal.reason == REASON_EXPERT
    if by_us or (claim is not None and deal.entry == ENTRY_OUT_BY):
        return Cause.AGENT
    return _CAUSES.get(deal.reason, Cause.OTHER_PROGRAM)
