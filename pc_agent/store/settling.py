"""What the database answered, worked into the store's rows and journal. Runs within one transaction."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from mesh.log import get_logger
from pc_agent.domain.merging import Merged, merge
from pc_agent.domain.reference import Key, Kind, Record
from pc_agent.store import journal, record_table
from pc_agent.store.duckdb_file import Connection
from pc_agent.store.journal import Change, State

log = get_logger(__name__)

_ORDER = list(Kind)


class Verdict(StrEnum):
    APPLIED = "APPLIED"
    STALE = "STALE"
    REFUSED = "REFUSED"


@dataclass(frozen=True, slots=True)
class Outcome:
    """`record`: as it stands at the database; None: it has none."""

    change_id: UUID
    verdict: Verdict
    record: Record | None
    message: str = ""


def settle(db: Connection, outcomes: Iterable[Outcome], records: Iterable[Record], missing: Iterable[Key]) -> None:
    """Take the answers to changes, what is newer there, and what the database lost."""
    waiting = journal.waiting(db)
    for record in sorted(records, key=lambda one: _ORDER.index(one.key.kind)):
        if record.key not in waiting:  # otherwise its change is answered STALE, and merged then
            _take(db, record)
    for outcome in outcomes:
        change = journal.find_sent(db, outcome.change_id)
        if change is not None:
            _answered(db, change, outcome)
    for key in missing:
        held = record_table.read(db, key)
        if held is not None and key not in waiting:
            journal.insert(db, held, held)
    journal.trim(db)


def _take(db: Connection, theirs: Record) -> None:
    held = record_table.read(db, theirs.key)
    if held is None or held.version != theirs.version or held.content == theirs.content:
        record_table.write(db, theirs)
        return
    # One of the two was restored from a backup: the later one counts.
    log.error("two records of one version", here=str(held), there=str(theirs))
    if held.updated_unix_ms > theirs.updated_unix_ms:
        journal.insert(db, theirs, held)
    else:
        record_table.write(db, theirs)


def _answered(db: Connection, change: Change, outcome: Outcome) -> None:
    later = next((one for one in journal.open_changes(db, change.key) if one.state is State.PENDING), None)
    theirs, mine = outcome.record, record_table.read(db, change.key)
    if outcome.verdict is Verdict.REFUSED or theirs is None or mine is None:
        log.warning("a change was refused", kind=change.key.kind, id=str(change.key.id), because=outcome.message)
        journal.close(db, change, State.REFUSED, outcome.message)
        if theirs is not None and later is None:
            record_table.write(db, theirs)
    elif outcome.verdict is Verdict.APPLIED or change.base is None:
        # A first look that was not the first: theirs holds, and the next look tells what is to be changed.
        applied = outcome.verdict is Verdict.APPLIED
        journal.close(db, change, State.APPLIED if applied else State.MERGED)
        if later is None or later.base is None:
            record_table.write(db, theirs)
        else:
            _rebase(db, later.base, later, mine, theirs)
    else:
        journal.close(db, change, State.MERGED, _rebase(db, change.base, later, mine, theirs))


def _rebase(db: Connection, base: Record, unsent: Change | None, mine: Record, theirs: Record) -> str:
    """`mine`, which was made of `base`, on top of `theirs`; what is left of it is to be sent, by `unsent` if it is."""
    merged: Merged = merge(base, mine, theirs)
    record_table.write(db, merged.record)
    told = "; ".join(str(clash) for clash in merged.clashes)
    if told:
        log.warning("two changes met", kind=mine.key.kind, id=str(mine.key.id), what=told)
    if merged.record == theirs:
        if unsent is not None:
            journal.close(db, unsent, State.MERGED, told)
    elif unsent is not None:
        journal.rewrite(db, unsent, theirs, merged.record)
    else:
        journal.insert(db, theirs, merged.record)
    return told
