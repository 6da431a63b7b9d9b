"""Questions, and changes by revision."""

import pytest

from hub.domain.catalog import Catalog, Change, CompactedError
from hub.domain.instance import Instance
from hub.domain.status import Status


def change(revision: int, instance_id: str, *, removed: bool = False, status: Status = Status.UP) -> Change:
    instance = Instance(
        instance_id, instance_id.split("-")[0], status=status, revision=revision, grpc_services=("a.B",)
    )
    return Change(revision, instance, removed)


def test_changes_are_given_from_any_revision_held() -> None:
    """Oldest first, without the one at the revision itself."""
    catalog = Catalog(10, 100)
    for item in (change(101, "a-1"), change(102, "b-1"), change(103, "a-1", removed=True)):
        catalog.apply(item.revision, [item])
    assert [item.revision for item in catalog.changes_after(100)] == [101, 102, 103]
    assert [item.revision for item in catalog.changes_after(102)] == [103]
    assert catalog.changes_after(103) == []


@pytest.mark.parametrize("revision", [99, 101, 104])
def test_a_revision_that_is_not_held_is_refused(revision: int) -> None:
    """Before the start, fallen out of the history, or from a future that never was here."""
    catalog = Catalog(1, 100)
    catalog.apply(101, [change(101, "a-1")])
    catalog.apply(102, [change(102, "a-1")])
    catalog.apply(103, [change(103, "a-1")])
    with pytest.raises(CompactedError):
        catalog.changes_after(revision)
    assert len(catalog.changes_after(102)) == 1


def test_services_are_counted_by_what_is_up() -> None:
    """Ordered by name, with all that their instances offer."""
    catalog = Catalog(10)
    catalog.apply(1, [change(1, "b-1")])
    catalog.apply(2, [change(2, "a-1")])
    catalog.apply(3, [change(3, "a-2", status=Status.DOWN)])
    assert [(item.service, item.instances, item.up) for item in catalog.services()] == [("a", 2, 1), ("b", 1, 1)]
    assert catalog.services()[0].grpc_services == ("a.B",)
    assert [item.id for item in catalog.instances("a")] == ["a-1", "a-2"]
