"""Bollinger mean reversion on ticks."""

from collections.abc import Iterable
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.market import Batch, TickId
from services.trading_engine.domain.order import Side
from services.trading_engine.domain.strategies import STRATEGIES, Decision
from services.trading_engine.domain.strategies.bollinger import Bollinger
from tests.unit.services.trading_engine.domain.batches import batch_of, cut

FLAT, LONG, SHORT = Decimal(0), Decimal("0.01"), Decimal("-0.01")
CALM = [1.1, 1.2] * 10

prices = st.lists(st.integers(10_000, 10_400).map(lambda points: points / 10_000), min_size=1, max_size=200)
unpriced = st.sets(st.integers(0, 199), max_size=20)
cuts = st.lists(st.integers(1, 199), max_size=12)


def traded(batches: Iterable[Batch]) -> list[tuple[TickId, Side, bool]]:
    """What is decided when every order is filled at once."""
    strategy, position, made = Bollinger(), FLAT, []
    for batch in batches:
        readings, start = strategy.read(batch), 0
        while decision := readings.first(position, start):
            made.append((decision.tick, decision.side, decision.closing))
            position = FLAT if decision.closing else LONG if decision.side is Side.BUY else SHORT
            start = decision.index + 1
    return made


@given(prices, unpriced, cuts, st.integers(0, 2))
def test_batches_can_be_cut_anywhere(mids: list[float], without: set[int], at: list[int], step_msc: int) -> None:
    """The same ticks give the same decisions, to the bit, in one batch or in many."""
    whole = batch_of(mids, step_msc=step_msc, spread=0.0002)
    whole.ask[[place for place in without if place < len(mids)]] = 0
    pieces = cut(whole, at)
    assert traded(pieces) == traded([whole])
    one, many = Bollinger(), Bollinger()
    read = [many.read(piece) for piece in pieces]
    bands = one.read(whole)
    assert np.concatenate([piece.middle for piece in read]).tobytes() == bands.middle.tobytes()
    assert np.concatenate([piece.width for piece in read]).tobytes() == bands.width.tobytes()


@given(prices)
def test_bands_are_those_of_the_textbook(mids: list[float]) -> None:
    """Mean and population deviation of each tick's last twenty mid prices."""
    bands = Bollinger().read(batch_of(mids))
    windows = [mids[end - 20 : end] for end in range(20, len(mids) + 1)]
    assert bands.middle == pytest.approx([np.mean(window) for window in windows])
    assert bands.width == pytest.approx([2 * np.std(window) for window in windows], abs=1e-12)


def test_nothing_is_decided_before_twenty_ticks() -> None:
    """Nineteen ticks make no band."""
    assert Bollinger().read(batch_of([*CALM[:18], 0.5])).first(FLAT) is None


@pytest.mark.parametrize(
    ("last", "position", "side", "closing"),
    [
        (0.9, FLAT, Side.BUY, False),
        (1.5, FLAT, Side.SELL, False),
        (1.2, LONG, Side.SELL, True),
        (1.1, SHORT, Side.BUY, True),
    ],
)
def test_outside_the_bands_enters_and_the_middle_leaves(
    last: float, position: Decimal, side: Side, closing: bool
) -> None:
    """Below is bought, above is sold; a position ends where the price is back at its mean."""
    ticks = batch_of([*CALM[:19], last])
    assert Bollinger().read(ticks).first(position) == Decision(19, ticks.last_id, side, closing)


@pytest.mark.parametrize(("last", "position"), [(1.1, FLAT), (1.2, FLAT), (1.1, LONG), (1.2, SHORT)])
def test_inside_the_bands_waits(last: float, position: Decimal) -> None:
    """Within the bands nothing is entered, and on the losing side of the middle nothing is left."""
    assert Bollinger().read(batch_of([*CALM[:19], last])).first(position) is None


def test_a_still_market_is_not_traded() -> None:
    """Bands of no width hold the price that never moved."""
    assert Bollinger().read(batch_of([1.1] * 40)).first(FLAT) is None


def test_after_a_reset_twenty_new_ticks_are_needed() -> None:
    """What follows a hole is not measured against what came before it."""
    strategy = Bollinger()
    strategy.read(batch_of(CALM))
    strategy.reset()
    assert strategy.read(batch_of([0.5])).first(FLAT) is None


def test_the_strategies_are_known_by_name() -> None:
    """Each name makes a strategy of its own."""
    assert STRATEGIES["bollinger"]() is not STRATEGIES["bollinger"]()
