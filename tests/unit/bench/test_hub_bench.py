"""`suho bench hub`: what would be wrong in silence."""

import re

import pytest
from typer.testing import CliRunner

from bench.hub.spread import spread
from cli.__main__ import app


@pytest.mark.parametrize(
    ("took", "p50_ms", "p99_ms"),
    [
        ([5_000_000], 5, 5),
        ([2_000_000, 1_000_000], 1, 2),
        ([n * 1_000_000 for n in range(100, 0, -1)], 50, 99),
        ([n * 1_000_000 for n in range(1, 1001)], 500, 990),
    ],
)
def test_percentiles_are_by_nearest_rank(took: list[int], p50_ms: float, p99_ms: float) -> None:
    """The smallest sample that so large a share of all does not exceed, in whatever order they came."""
    found = spread(took)
    assert (found.p50_ms, found.p99_ms, found.samples) == (p50_ms, p99_ms, len(took))


def test_a_part_that_does_not_exist_is_refused() -> None:
    """Before anything starts, with the parts that do exist."""
    result = CliRunner().invoke(app, ["bench", "hub", "--part", "watching"])
    assert result.exit_code == 2
    assert {"watching", "watch", "fanout", "churn"} <= set(re.findall(r"\w+", result.output))
