"""Keeps the ledger from growing for ever."""

import asyncio

from mesh.clock import unix_ns
from mesh.log import get_logger
from pc_agent.orders.ledger import Ledger

log = get_logger(__name__)

_DAY_NS = 86_400 * 10**9
_LOOK_S = 3_600.0
# Orders go between two steps.
_PAUSE_S = 0.1


async def forget_resolved(ledger: Ledger, keep_days: int) -> None:
    """Drop what was resolved so long ago, for ever; a signal that is dropped is still not executed again."""
    while True:
        dropped = 0
        while step := await ledger.drop_resolved(unix_ns() - keep_days * _DAY_NS):
            dropped += step
            await asyncio.sleep(_PAUSE_S)
        if dropped:
            log.info("old orders dropped from the ledger", orders=dropped, older_than_days=keep_days)
        await asyncio.sleep(_LOOK_S)
