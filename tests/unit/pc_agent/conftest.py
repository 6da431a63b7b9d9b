"""A ledger in the test's folder, and an execution on it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pc_agent.orders.ledger import Ledger, open_ledger
from tests.unit.pc_agent.executing import Desk


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with open_ledger(tmp_path) as opened:
        yield opened


@pytest.fixture
def desk(ledger: Ledger, tmp_path: Path) -> Desk:
    return Desk(ledger, tmp_path)
