"""A netting account's arithmetic."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pc_agent.twin.domain.netting import Exposure, Netted, Side, net


@pytest.mark.parametrize(
    ("before", "side", "volume", "price", "expected"),
    [
        (None, 1, 0.3, 1.1, Netted(Exposure(1, 0.3, 1.1), 0.3, 0.0)),
        (Exposure(1, 1.0, 1.0), 1, 3.0, 2.0, Netted(Exposure(1, 4.0, 1.75), 3.0, 0.0)),
        (Exposure(1, 0.3, 1.0), -1, 0.1, 2.0, Netted(Exposure(1, 0.2, 1.0), 0.0, 0.1)),
        (Exposure(-1, 0.3, 1.0), 1, 0.3, 2.0, Netted(None, 0.0, 0.3)),
        (Exposure(-1, 0.3, 1.0), 1, 0.5, 2.0, Netted(Exposure(1, 0.2, 2.0), 0.2, 0.3)),
    ],
    ids=["opens", "increases", "reduces", "closes", "flips"],
)
def test_a_deal_nets_with_what_is_held(
    before: Exposure | None, side: Side, volume: float, price: float, expected: Netted
) -> None:
    """Same side: average price; other side: closes first, opens what is left."""
    assert net(before, side, volume, price) == expected


@given(st.lists(st.tuples(st.sampled_from([1, -1]), st.integers(1, 500)), max_size=40))
def test_volumes_add_up_without_dust(deals: list[tuple[Side, int]]) -> None:
    """After any deals what is held is exactly the sum of signed volumes, in hundredths of a lot."""
    held: Exposure | None = None
    for side, hundredths in deals:
        held = net(held, side, hundredths / 100, 1.0).after
    total = sum(side * hundredths for side, hundredths in deals)
    assert (held.side * held.volume if held else 0.0) == total / 100
