"""What starts audits without being asked: the night, and agents whose terminal's history is not what was stored."""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime, time, timedelta

from mesh.clock import unix_ms
from mesh.errors import MeshError
from mesh.log import get_logger
from mesh.waiting import obey_cancellation
from services.data_bridge.audit import Auditor
from services.data_bridge.domain.audit import DAY_MSC, day_of
from services.data_bridge.domain.log import LogUnavailableError
from services.data_bridge.domain.progress import SymbolKey
from services.data_bridge.domain.terminal import HistoryChange, Incidents

log = get_logger(__name__)

HISTORY_CHANGED = "HISTORY_CHANGED"
# A server's clock is behind UTC in places: its yesterday may be UTC's day before.
_NIGHTLY_DAYS = 2
# How far back a changed history is followed while its days differ.
_CHANGED_DAYS = 7
# The changed tick is the newest one mostly: until more come, or its second is over, it can not be audited.
_SETTLES_WITHIN_S = 60.0
_LOOK_S = 1.0


class AuditTriggers:
    """Implements `history.Changes`.

    Args:
        held: The symbols that agents stream through this bridge.
        at: UTC; None: never.
    """

    def __init__(
        self, auditor: Auditor, incidents: Incidents, held: Callable[[], Iterable[SymbolKey]], at: time | None
    ) -> None:
        self._auditor = auditor
        self._incidents = incidents
        self._held = held
        self._at = at
        # The newest change of a symbol stands for all: its day and those before it are audited.
        self._changes: dict[SymbolKey, tuple[str, HistoryChange]] = {}
        self._some = asyncio.Event()

    def changed(self, agent: str, change: HistoryChange) -> None:
        self._changes[change.key] = (agent, change)
        self._some.set()

    async def run(self) -> None:
        """Audit whenever there is reason to, for ever."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow_changes(), name="changed histories")
            if self._at is not None:
                tasks.create_task(self._nightly(self._at), name="nightly audit")

    async def _nightly(self, at: time) -> None:
        while True:
            obey_cancellation()
            await asyncio.sleep(until_next(at, datetime.now(UTC)))
            today = day_of(unix_ms())
            for key in sorted(self._held()):
                await self.audit_back(key, today - DAY_MSC, _NIGHTLY_DAYS, while_differing=False)

    async def audit_back(self, key: SymbolKey, day: int, days: int, while_differing: bool) -> None:
        """Heal `day` and those before it, `days` at most; what fails is logged."""
        try:
            with self._auditor.claim(key):
                for number in range(days):
                    obey_cancellation()
                    finding = await self._auditor.day(key, day - number * DAY_MSC, heal=True)
                    log.info("audited", symbol=key.symbol, day=_name(finding.from_msc), state=finding.state.name)
                    if while_differing and not finding.differed:
                        return
        except MeshError as error:
            log.warning("an audit failed", symbol=key.symbol, server=key.server, because=str(error))

    async def _follow_changes(self) -> None:
        while True:
            obey_cancellation()
            await self._some.wait()
            key = next(iter(self._changes))
            agent, change = self._changes.pop(key)
            if not self._changes:
                self._some.clear()
            at = change.at.time_msc
            has = f"bid {change.bid:g} ask {change.ask:g}" if change.bid or change.ask else "no such tick"
            detail = f"the terminal of agent {agent} has {has} at {at}/{change.at.ordinal}, which is stored otherwise"
            await self._incidents.report(HISTORY_CHANGED, key, at, at + 1, 1, detail)
            await self._until_settled(key, at)
            await self.audit_back(key, day_of(at), _CHANGED_DAYS, while_differing=True)

    async def _until_settled(self, key: SymbolKey, time_msc: int) -> None:
        """Wait until that time can be audited, or for long enough."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_SETTLES_WITHIN_S):
                while True:
                    obey_cancellation()
                    if await self._is_settled(key, time_msc):
                        return
                    await asyncio.sleep(_LOOK_S)

    async def _is_settled(self, key: SymbolKey, time_msc: int) -> bool:
        try:
            return await self._auditor.settled_until(key) > time_msc
        except (MeshError, LogUnavailableError):
            return False


def until_next(at: time, now: datetime) -> float:
    """Seconds from `now` to the next time that it is `at`, both UTC."""
    then = datetime.combine(now.date(), at, UTC)
    return ((then if then > now else then + timedelta(days=1)) - now).total_seconds()


def _name(day_msc: int) -> str:
    return datetime.fromtimestamp(day_msc / 1000, UTC).date().isoformat()
