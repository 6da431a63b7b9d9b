"""Audits: terminal against log against store, a symbol and day at a time, and what heals them.

Only what is settled is compared: ticks that the log and the terminal have and the store has had time to take. A
correction hides what else comes into its range later, so nothing that is still moving may lie in one.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from mesh.errors import MeshError, Reason
from mesh.market import BEFORE_FIRST, Batch
from mesh.market.digest import Digest
from mesh.market.subjects import BACKFILL_STREAM, TICKS_STREAM
from services.data_bridge.domain.audit import (
    DAY_MSC,
    HOUR_MSC,
    MINUTE_MSC,
    Finding,
    Span,
    State,
    differing,
    settled,
    spans,
    total,
)
from services.data_bridge.domain.history import LaterTicks, Store, SymbolLog, Terminals
from services.data_bridge.domain.log import LogUnavailableError, Stored
from services.data_bridge.domain.progress import SymbolKey
from services.data_bridge.domain.repair import Missing, Replacement, amount, decide, storable
from services.data_bridge.domain.terminal import Incidents

AUDIT_DIFFERS, AUDIT_HEALED = "AUDIT_DIFFERS", "AUDIT_HEALED"

# A newest tick that was read so long ago is not followed by another one of its second.
_QUIET_NS = 10_000_000_000
# Ticks of a range that is healed at once; one with more is healed by minutes.
_MOST_TICKS = 250_000
# A history that reaches back behind an hour has ticks in the week before it, whatever the holidays.
_REACH_MSC = 7 * DAY_MSC
_ATTEMPTS = 3
_UNANSWERED = (Reason.NO_SOURCE, Reason.HISTORY_UNAVAILABLE)


@dataclass(slots=True)
class _Healing:
    """What was done about a day."""

    added: int = 0
    corrected: int = 0
    refused: int = 0
    generation: int = 0
    left: int = 0
    unproven: int = 0
    unanswered: str = ""

    @property
    def state(self) -> State:
        if self.unanswered:
            return State.UNANSWERED
        if self.left or self.unproven:
            return State.DIFFERS
        if self.generation:
            return State.CORRECTED
        return State.HEALED if self.added else State.MATCHES

    @property
    def detail(self) -> str:
        said = [self.unanswered] if self.unanswered else []
        if self.left:
            said.append(f"{self.left} ranges still differ: the terminal's history moves, or the store does not follow")
        if self.unproven:
            said.append(f"{self.unproven} ranges begin before all that the terminal has; they stay as they are stored")
        if self.refused:
            said.append(f"{self.refused} ticks of the terminal can not be stored; they are quarantined")
        return "; ".join(said)


class Auditor:
    """Compares and heals. One audit of a symbol at a time."""

    def __init__(
        self,
        terminals: Terminals,
        log: SymbolLog,
        store: Store,
        ends: Stored,
        later: LaterTicks,
        incidents: Incidents,
        now_ns: Callable[[], int],
    ) -> None:
        self._terminals = terminals
        self._log = log
        self._store = store
        self._ends = ends
        self._later = later
        self._incidents = incidents
        self._now_ns = now_ns
        self._running: set[SymbolKey] = set()

    @contextmanager
    def claim(self, key: SymbolKey) -> Iterator[None]:
        """The symbol's only audit here, for the block. Raises MeshError AUDIT_RUNNING."""
        if key in self._running:
            running = f"{key.symbol} of {key.server} is being audited already; wait until that has ended"
            raise MeshError(Reason.AUDIT_RUNNING, running)
        self._running.add(key)
        try:
            yield
        finally:
            self._running.discard(key)

    async def day(self, key: SymbolKey, day: int, heal: bool) -> Finding:
        """The day that begins at `day`, as far as it is settled; the symbol is claimed.

        Raises:
            MeshError: the store or a log can not be asked.
        """
        nothing = Finding(key, day, day + DAY_MSC, State.UNANSWERED)
        try:
            finding = await self._audit(nothing, heal)
        except MeshError as error:
            if error.reason not in _UNANSWERED:
                raise
            return replace(nothing, detail=error.message)
        except LogUnavailableError as error:
            raise MeshError(Reason.LOG_UNAVAILABLE, f"the log can not be asked: {error}; audit again later") from None
        if finding.differed:
            await self._report(finding)
        return finding

    async def settled_until(self, key: SymbolKey) -> int:
        """The server time up to which the symbol can be audited. Raises MeshError, LogUnavailableError."""
        position = await self._terminals.position(key)
        if not position.connected:
            raise MeshError(
                Reason.HISTORY_UNAVAILABLE,
                "the terminal is not connected to its broker: what its history lacks now proves nothing; audit again",
            )
        if position.terminal == BEFORE_FIRST:
            raise MeshError(Reason.HISTORY_UNAVAILABLE, "the terminal shows no tick of this symbol; is it selected?")
        newest = await self._log.newest(key)
        if newest is None:
            return settled((await self._ends.end(key)).last, position.terminal, quiet=True)
        await self._store.until_stored(TICKS_STREAM, newest.seq)
        return settled(newest.last, position.terminal, self._now_ns() - newest.read_unix_ns > _QUIET_NS)

    async def _audit(self, day: Finding, heal: bool) -> Finding:
        key, until = day.key, min(day.to_msc, await self.settled_until(day.key))
        await self._store.until_stored(BACKFILL_STREAM)
        if until <= day.from_msc:
            return await self._unsettled(day)
        terminal, stored, generation = await self._compare(key, day.from_msc, until)
        found = differing(terminal, stored)
        finding = replace(
            day,
            state=State.DIFFERS if found else State.MATCHES,
            terminal_ticks=total(terminal),
            log_ticks=await self._log.count(key, day.from_msc, until),
            stored_ticks=total(stored),
            differing=tuple(found),
            generation=generation,
        )
        if not found or not heal:
            return finding
        healing = await self._heal_all(key, found)
        stored, generation = await self._stored(key, day.from_msc, until)
        return replace(
            finding,
            state=healing.state,
            stored_ticks=total(stored),
            healed_ticks=healing.added + healing.corrected,
            generation=generation,
            detail=healing.detail,
        )

    async def _unsettled(self, day: Finding) -> Finding:
        """A day after all that the terminal has: nothing is stored of it either, or nothing is proven."""
        stored, generation = await self._stored(day.key, day.from_msc, day.to_msc)
        late = "the terminal's newest tick is older than this day"
        return replace(
            day,
            state=State.UNANSWERED if total(stored) else State.MATCHES,
            stored_ticks=total(stored),
            generation=generation,
            detail=f"{late}, or nothing of it is settled yet; audit again later" if total(stored) else late,
        )

    async def _heal_all(self, key: SymbolKey, hours: Iterable[Digest]) -> _Healing:
        healing = _Healing()
        try:
            for hour in hours:
                await self._heal(key, hour.from_msc, hour.to_msc, healing)
        except MeshError as error:
            if error.reason not in _UNANSWERED:
                raise
            healing.unanswered = error.message
        return healing

    async def _compare(
        self, key: SymbolKey, from_msc: int, to_msc: int, bucket_ms: int = HOUR_MSC
    ) -> tuple[list[Digest], list[Digest], int]:
        """The terminal's digests, the store's, and the highest generation of a correction there."""
        terminal = [
            digest for span in spans(from_msc, to_msc, bucket_ms) for digest in await self._terminals.digests(key, span)
        ]
        return terminal, *await self._stored(key, from_msc, to_msc, bucket_ms)

    async def _stored(
        self, key: SymbolKey, from_msc: int, to_msc: int, bucket_ms: int = HOUR_MSC
    ) -> tuple[list[Digest], int]:
        answers = [await self._store.digests(key, span) for span in spans(from_msc, to_msc, bucket_ms)]
        found = [digest for digests, _ in answers for digest in digests]
        return found, max((generation for _, generation in answers), default=0)

    async def _heal(self, key: SymbolKey, from_msc: int, to_msc: int, healing: _Healing) -> None:
        """Bring the store to what the terminal has in a range that differs."""
        terminal, stored, _ = await self._compare(key, from_msc, to_msc, to_msc - from_msc)
        if max(total(terminal), total(stored)) > _MOST_TICKS and to_msc - from_msc > MINUTE_MSC:
            terminal, stored, _ = await self._compare(key, from_msc, to_msc, MINUTE_MSC)
            for minute in differing(terminal, stored):
                await self._heal(key, minute.from_msc, minute.to_msc, healing)
            return
        for attempt in range(_ATTEMPTS):
            if await self._attempt(key, Span(from_msc, to_msc, to_msc - from_msc), healing, whole=attempt > 0):
                return
        terminal, stored, _ = await self._compare(key, from_msc, to_msc, to_msc - from_msc)
        healing.left += terminal != stored

    async def _attempt(self, key: SymbolKey, span: Span, healing: _Healing, whole: bool) -> bool:
        """Whether the range needs nothing any more; else something was done about it."""
        told = (await self._terminals.digests(key, span))[0]
        stored, generation = await self._store.digests(key, span)
        if told == stored[0]:
            return True
        here = await self._store.ticks(key, span.from_msc, span.to_msc)
        there = await self._terminals.ticks(key, span.from_msc, span.to_msc)
        # Aside: live ticks do not wait for it.
        if await asyncio.to_thread(amount, there, span.from_msc, span.to_msc) != told:
            return False  # it changed meanwhile, or a part was lost on its way: nothing is proven
        sound = await asyncio.to_thread(storable, there) if there else None
        repair = await asyncio.to_thread(decide, sound, here, generation, whole)
        if repair is None:
            healing.refused += told.count - (len(sound) if sound else 0)
            return True
        if isinstance(repair, Replacement) and await self._begins_later(key, there, here, span.from_msc):
            healing.unproven += 1
            return True
        if isinstance(repair, Missing):
            healing.added += len(repair.ticks)
            seq = (await self._later.add([repair.ticks])).seq
        else:
            ticks = repair.ticks
            healing.corrected += len(ticks) if ticks else 0
            healing.generation = max(healing.generation, repair.generation)
            why = f"the terminal has {told.count} ticks, {stored[0].count} were stored"
            seq = await self._later.correct(key, ticks, repair.generation, span.from_msc, span.to_msc, why)
        await self._store.until_stored(BACKFILL_STREAM, seq)
        return False

    async def _begins_later(self, key: SymbolKey, there: Batch | None, here: Batch | None, from_msc: int) -> bool:
        """Whether ticks are stored from before all that the terminal has: that it lacks them means nothing.

        Brokers keep ticks for a while only, and a new terminal loads what it is asked for.
        """
        if here is None or (there is not None and there.first_id <= here.first_id):
            return False
        reach = Span(max(0, from_msc - _REACH_MSC), from_msc, min(from_msc, _REACH_MSC))
        return not from_msc or not total(await self._terminals.digests(key, reach))

    async def _report(self, finding: Finding) -> None:
        kind = AUDIT_DIFFERS if finding.state is State.DIFFERS else AUDIT_HEALED
        detail = f"terminal {finding.terminal_ticks}, stored {finding.stored_ticks}, {len(finding.differing)} hours"
        detail += f", {finding.healed_ticks} ticks written" if finding.healed_ticks else ""
        await self._incidents.report(
            kind,
            finding.key,
            finding.differing[0].from_msc,
            finding.differing[-1].to_msc,
            abs(finding.terminal_ticks - finding.stored_ticks) or finding.healed_ticks,
            f"{detail}; {finding.detail}" if finding.detail else detail,
        )
