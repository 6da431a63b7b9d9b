"""What lane 0 carries of an account beside signals and reports."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from suho.trading.v1 import agent_link_pb2 as pb

from pc_agent.domain.safety import Stand
from pc_agent.orders import account_cargo as module
from pc_agent.orders.account_cargo import AccountCargo, Send
from pc_agent.orders.deal_ledger import DealLedger
from pc_agent.orders.ledger import open_ledger
from tests.support import eventually
from tests.unit.pc_agent.test_deal_ledger import ACCOUNT, deal


async def test_deals_are_told_again_until_they_are_answered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is refused makes room for those behind it, as one that is acknowledged does."""
    monkeypatch.setattr(module, "_MOST_DEALS", 1)
    monkeypatch.setattr(module, "_REPEAT_S", 0.01)
    watch: Any = SimpleNamespace(changed=asyncio.Event(), snapshot=None)
    safety: Any = SimpleNamespace(changed=asyncio.Event(), state=Stand())
    told: list[int] = []

    def send(request: pb.StreamSignalsRequest) -> None:
        told.extend(one.deal for one in request.deals.deals)

    async def no_markets(_: Send) -> None: ...

    with open_ledger(tmp_path) as ledger:
        deals = DealLedger(ledger, ACCOUNT)
        cargo = AccountCargo(watch, deals, safety, no_markets)
        await deals.take([deal(8), deal(9)])
        async with asyncio.TaskGroup() as tasks:
            carrying = tasks.create_task(cargo.carry(send))
            await eventually(lambda: told[:2] == [8, 8])
            refused = pb.RefusedDeal(deal=8, reason="INVALID_ARGUMENT", message="no such symbol")
            await cargo.take(pb.StreamSignalsResponse(deal_acks=pb.DealAcks(refused=[refused])))
            await eventually(lambda: told[-1] == 9)
            await cargo.take(pb.StreamSignalsResponse(deal_acks=pb.DealAcks(deals=[9])))
            carrying.cancel()
        assert await deals.waiting(10) == []
        assert [one.ticket for one in await deals.refused()] == [8]
