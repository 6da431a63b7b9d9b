"""This hub probes the instances that it owns, and says so where a verdict changes.

Lost leases are seen in the store: every hub knows who comes and goes too often, wherever it comes back to.
"""

import asyncio
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from hub.domain.agenda import Agenda
from hub.domain.catalog import Catalog, CompactedError
from hub.domain.flapping import Flapping
from hub.domain.health import Health, Verdict
from hub.domain.history import HealthEvent, History, Span
from hub.domain.probation import Probation, begun_with, weighed
from hub.domain.probing import ProbeTerms, Question, counts, health_after, left_without_farewell, question_for
from hub.domain.state import Record
from hub.domain.status import Status
from hub.health.probes.check import Target
from hub.health.probes.kinds import Outcome, ask
from hub.streams import Bell, heard
from mesh.clock import unix_ms
from mesh.log import get_logger

log = get_logger(__name__)

# News gather for so long, so that a burst of registrations is looked through once.
_GATHER_S = 0.05
# Of an interval: whether this hub is in trouble itself is known before the others are judged for it.
_LOOK_ROUND = 1 / 30


class Records(Protocol):
    """The shared state, as far as probes are concerned (`hub.store.replica.Replica`)."""

    catalog: Catalog

    def record(self, instance_id: str) -> tuple[int, Record] | None: ...

    def records(self) -> Mapping[str, tuple[int, Record]]: ...


class Judge(Protocol):
    """Who takes a verdict in (`hub.registry.Registry`)."""

    async def judge(self, instance_id: str, health: Health) -> None: ...


@dataclass(slots=True)
class _Probed:
    """An instance that this hub owns."""

    record: Record
    question: Question | None
    probation: Probation
    error: str
    span: Span
    failing_since: float | None = None
    doubtful: bool = False
    """It failed while this hub doubted its own probes."""


class Prober:
    """Probes what this hub owns, for as long as it runs."""

    def __init__(
        self,
        hub_id: str,
        records: Records,
        news: Bell,
        judge: Judge,
        history: History,
        terms: ProbeTerms,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._hub_id = hub_id
        self._records = records
        self._news = news
        self._judge = judge
        self._history = history
        self._terms = terms
        self._clock = clock
        self._flapping = Flapping(terms.damping)
        self._seen: dict[str, Record] = {}
        self._probed: dict[str, _Probed] = {}
        self._agenda = Agenda()
        self._due = asyncio.Event()
        self._room = asyncio.Semaphore(terms.concurrency)
        self._failing = 0
        self.doubts_itself = False
        """Most probes fail at once, which is rather this hub's own trouble."""

    async def run(self) -> None:
        """Probe for ever; begins with what the records hold."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow(), name="follow instances")
            tasks.create_task(self._look_round(), name="look round")
            while True:
                await self._room.acquire()
                instance_id = await self._next()
                visit = tasks.create_task(self._visit(instance_id), name="probe")
                visit.add_done_callback(lambda _: self._room.release())

    async def _next(self) -> str:
        while (instance_id := self._agenda.take(self._clock())) is None:
            self._due.clear()
            at = self._agenda.next_at()
            await heard(self._due, None if at is None else max(at - self._clock(), 0))
        return instance_id

    def _plan(self, instance_id: str, within_s: float, share: float = 0.0) -> None:
        """Visit it at a moment in (share of `within_s`, `within_s`]: many that came together spread."""
        self._agenda.put(instance_id, self._clock() + within_s * random.uniform(share, 1.0))
        self._due.set()

    async def _follow(self) -> None:
        catalog = self._records.catalog
        with self._news.listening() as ear:
            revision = catalog.revision
            self._look_through()
            while True:
                await heard(ear)
                await asyncio.sleep(_GATHER_S)
                try:
                    for change in catalog.changes_after(revision):
                        if change.removed:
                            self._forget(change.instance.id)
                        else:
                            self._look_at(change.instance.id)
                except CompactedError:
                    self._look_through()
                revision = catalog.revision

    def _look_through(self) -> None:
        for instance_id in {*self._seen, *self._records.records()}:
            self._look_at(instance_id)

    def _look_at(self, instance_id: str) -> None:
        found = self._records.record(instance_id)
        if found is None:
            self._forget(instance_id)
            return
        record, before = found[1], self._seen.get(instance_id)
        self._seen[instance_id] = record
        if before is not None and left_without_farewell(before, record):
            self._flapping.fall(instance_id, self._clock())
        if record.owner == self._hub_id and record.expiry is None:
            self._own(instance_id, record)
        else:
            self._disown(instance_id)

    def _forget(self, instance_id: str) -> None:
        self._seen.pop(instance_id, None)
        self._disown(instance_id)

    def _disown(self, instance_id: str) -> None:
        self._agenda.drop(instance_id)
        probed = self._probed.pop(instance_id, None)
        if probed is not None:
            self._end_span(probed)

    def _own(self, instance_id: str, record: Record) -> None:
        probed = self._probed.get(instance_id)
        if probed is None or _is_another(probed.record, record):
            self._disown(instance_id)
            begun, question = begun_with(record.health.verdict), question_for(record.instance)
            span = Span(self._clock())
            self._probed[instance_id] = _Probed(record, question, begun, record.health.last_error, span)
            known = begun.verdict is Verdict.PASSING
            self._plan(instance_id, self._terms.interval_s if known else self._terms.first_s)
            return
        came_up = record.instance.status is Status.UP is not probed.record.instance.status
        probed.record = record
        if came_up:
            self._plan(instance_id, self._terms.first_s)

    async def _visit(self, instance_id: str) -> None:
        probed = self._probed.get(instance_id)
        if probed is None:
            return
        if (question := probed.question) is not None:
            target = Target(question.address.ip or question.address.host, question.address.port, question.probe.path)
            outcome = await ask(question.probe.kind, target, self._terms.timeout_s)
            if self._probed.get(instance_id) is not probed:
                return  # it left, or is another process now
            self._weigh(instance_id, probed, outcome)
        await self._settle(instance_id, probed)
        if self._probed.get(instance_id) is probed:
            self._plan_next(instance_id, probed)

    def _weigh(self, instance_id: str, probed: _Probed, outcome: Outcome) -> None:
        probed.span.add(outcome.error, outcome.took_ms)
        probed.error = outcome.error or probed.error
        if not counts(probed.record.instance, outcome.passed):
            return
        before, now = probed.probation, self._clock()
        probed.probation = weighed(before, outcome.passed, self._terms.thresholds)
        if outcome.passed:
            if before.verdict is Verdict.FAILING is not probed.probation.verdict and not probed.doubtful:
                # Counted when it is over: by then it is known whose trouble it was.
                self._flapping.fall(instance_id, now)
            if probed.probation.verdict is Verdict.PASSING:
                probed.failing_since, probed.doubtful = None, False
        elif probed.failing_since is None:
            probed.failing_since = now

    async def _settle(self, instance_id: str, probed: _Probed) -> None:
        """Say what the health is now, where that is news."""
        found = self._records.record(instance_id)
        if found is None:
            return
        before, verdict = found[1].health, probed.probation.verdict
        # Why one does not come up is told at once; what speaks against an unknown one that is, with its verdict.
        told = verdict is not Verdict.UNKNOWN or not counts(probed.record.instance, passed=False)
        held_for_s = self._flapping.held_for(instance_id, self._clock())
        error = probed.error if told else before.last_error
        health = health_after(before, verdict, error, held_for_s, unix_ms())
        if health is before:
            return
        await self._judge.judge(instance_id, health)
        written = self._records.record(instance_id)
        if written is not None and written[1].health == health:  # else the store is away: said again at the next visit
            say = log.debug if before.verdict is Verdict.UNKNOWN and not health.last_error else log.info
            say("verdict", instance=instance_id, verdict=health.verdict.value, because=health.last_error)
            self._end_span(probed)

    def _plan_next(self, instance_id: str, probed: _Probed) -> None:
        now = self._clock()
        if now - probed.span.began_at >= self._terms.span_s:
            self._end_span(probed)
        held_for_s = self._flapping.held_for(instance_id, now)
        if probed.question is not None and probed.probation.undecided:
            self._plan(instance_id, self._terms.retry_s, share=0.8)
        elif probed.probation.verdict is Verdict.FAILING:
            self._plan(instance_id, self._terms.recheck_s(self._failing), share=0.8)
        elif 0 < held_for_s < self._terms.interval_s:
            self._plan(instance_id, held_for_s + 0.01, share=1.0)
        else:
            self._plan(instance_id, self._terms.interval_s * 1.1, share=0.8)

    def _end_span(self, probed: _Probed) -> None:
        span, probed.span = probed.span, Span(self._clock())
        instance_id = probed.record.instance.id
        shown = self._records.catalog.get(instance_id)
        if span.probes == 0 or shown is None:
            return
        now = unix_ms()
        key = f"{self._hub_id}/{instance_id}/{now}"
        event = HealthEvent(key, instance_id, now, self._hub_id, shown.status, shown.status_reason)
        self._history.note(span.told_by(event))

    async def _look_round(self) -> None:
        """Whether it is the others who fail, or this hub."""
        while True:
            await asyncio.sleep(self._terms.interval_s * _LOOK_ROUND)
            now = self._clock()
            self._flapping.forget_paid(now)
            asked = [probed for probed in self._probed.values() if probed.question is not None]
            failing = [(probed, since) for probed in asked if (since := probed.failing_since) is not None]
            lately = sum(now - since <= 2 * self._terms.interval_s for _, since in failing)
            self._failing = len(failing)
            self.doubts_itself = self._terms.doubt.holds(self.doubts_itself, len(asked), len(failing), lately)
            if self.doubts_itself:
                for probed, _ in failing:
                    probed.doubtful = True


def _is_another(before: Record, after: Record) -> bool:
    """Another process, or asked in another way."""
    return before.token_digest != after.token_digest or question_for(before.instance) != question_for(after.instance)
