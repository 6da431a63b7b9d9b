"""Questions, and changes by revision."""

import pytest

from hub.domain.catalog import Catalog, Change, CompactedError, in_chunks
from hub.domain.instance import Instance
from hub.domain.status import Status


def change(revision: int, instance_id: str, *, removed: bool = False, status: Status = Status.UP) -> Change:
    service = instance_id.split("-")[0]
    return Change(revision, Instance(instance_id, service, status=status, grpc_services=("a.B",)), removed)


def catalog_of(*changes: Change, history: int = 10, start: int = 100) -> Catalog:
    made = Catalog(history, start)
    for item in changes:
        made.apply(item.revision, [item])
    return made


def test_changes_are_given_from_any_revision_held() -> None:
    """Oldest first, without the one at the revision itself."""
    catalog = catalog_of(change(101, "a-1"), change(102, "b-1"), change(103, "a-1", removed=True))
    assert [item.revision for item in catalog.changes_after(100)] == [101, 102, 103]
    assert [item.revision for item in catalog.changes_after(102)] == [103]
    assert catalog.changes_after(103) == []


@pytest.mark.parametrize("revision", [99, 101, 104])
def test_a_revision_that_is_not_held_is_refused(revision: int) -> None:
    """Before the start, fallen out of the history, or from a future that never was here."""
    catalog = catalog_of(change(101, "a-1"), change(102, "a-1"), change(103, "a-1"), history=1)
    with pytest.raises(CompactedError):
        catalog.changes_after(revision)
    assert len(catalog.changes_after(102)) == 1


def test_a_revision_is_given_whole_or_not_at_all() -> None:
    """An order on a service changes many instances at once, more than the history holds."""
    catalog = catalog_of(change(101, "a-1"), change(102, "a-2"), history=2)
    catalog.apply(103, [change(103, f"a-{number}") for number in range(5)])
    assert len(catalog.changes_after(102)) == 5
    with pytest.raises(CompactedError):
        catalog.changes_after(101)
    catalog.apply(104, [change(104, "a-1")])
    assert len(catalog.changes_after(103)) == 1
    with pytest.raises(CompactedError):
        catalog.changes_after(102)


def test_a_revision_without_changes_moves_on() -> None:
    """What is written is not always an instance."""
    catalog = catalog_of(change(101, "a-1"))
    catalog.apply(105, [])
    assert catalog.revision == 105
    assert catalog.changes_after(101) == catalog.changes_after(105) == []


def test_after_a_loss_everybody_lists_again() -> None:
    """No revision of before is known, although instances are still there."""
    catalog = catalog_of(change(101, "a-1"), change(102, "b-1"))
    kept = catalog.instances()
    catalog.reset(200, kept)
    assert (catalog.revision, catalog.instances()) == (200, kept)
    for revision in (100, 102, 199):
        with pytest.raises(CompactedError):
            catalog.changes_after(revision)
    assert catalog.changes_after(200) == []


def test_an_instance_may_change_its_service() -> None:
    """It leaves the one and comes to the other."""
    catalog = catalog_of(change(101, "a-1"))
    catalog.apply(102, [Change(102, Instance("a-1", "b"), removed=False)])
    assert catalog.instances("a") == []
    assert [item.service for item in catalog.services()] == ["b"]
    catalog.apply(103, [Change(103, Instance("a-1", "b"), removed=True)])
    assert catalog.services() == []
    assert len(catalog) == 0


def test_services_are_counted_by_what_is_up() -> None:
    """Ordered by name, with all that their instances offer."""
    catalog = catalog_of(change(101, "b-1"), change(102, "a-1"), change(103, "a-2", status=Status.DOWN))
    assert [(item.service, item.instances, item.up) for item in catalog.services()] == [("a", 2, 1), ("b", 1, 1)]
    assert catalog.services()[0].grpc_services == ("a.B",)
    assert [item.id for item in catalog.instances("a")] == ["a-1", "a-2"]


def test_a_piece_of_a_revision_does_not_count_as_the_revision() -> None:
    """Who resumes after any piece misses nothing."""
    changes = [change(101, "a-0"), *(change(102, f"b-{number}") for number in range(5)), change(103, "c-0")]
    pieces = list(in_chunks(100, changes, 2))
    assert [(revision, len(piece)) for revision, piece in pieces] == [(101, 1), (101, 2), (101, 2), (103, 2)]
    assert [item for _, piece in pieces for item in piece] == changes
    assert list(in_chunks(100, [], 2)) == []
