"""Batches are cut and joined without losing or doubling a tick."""

import itertools
from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mesh.market import BEFORE_FIRST, Batch, TickId
from mesh.market.batch import ordinals
from tests.unit.mesh.market.ticks import batches, identities, same


@given(batches(), st.data())
def test_after_keeps_exactly_the_later_ticks(batch: Batch, data: st.DataObject) -> None:
    """`after` a tick, known or not, gives all ticks beyond it and no other."""
    known = st.sampled_from(identities(batch))
    near = st.builds(TickId, st.integers(int(batch.time_msc[0]) - 2, int(batch.time_msc[-1]) + 2), st.integers(0, 4))
    tick = data.draw(st.one_of(known, near))
    rest = batch.after(tick)
    expected = [identity for identity in identities(batch) if identity > tick]
    assert (identities(rest) if rest else []) == expected


@given(batches(), st.integers(1, 20))
def test_chunks_join_to_what_they_were_cut_from(batch: Batch, size: int) -> None:
    """Cutting and joining is the identity; each piece's `prev` is the tick before it."""
    pieces = list(batch.chunks(size))
    assert all(after.prev == before.last_id for before, after in itertools.pairwise(pieces))
    assert same(Batch.join(pieces), batch)


@given(batches())
def test_months_are_cut_where_they_change(batch: Batch) -> None:
    """No piece spans two months, neighbours differ in theirs, and nothing is lost."""
    pieces = list(batch.by_month())
    months = [np.unique(piece.time_msc.astype("datetime64[ms]").astype("datetime64[M]")) for piece in pieces]
    assert all(len(month) == 1 for month in months)
    assert all(before != after for before, after in itertools.pairwise(months))
    assert [piece.month for piece in pieces] == [int(month[0].astype(np.int64)) for month in months]
    assert same(Batch.join(pieces), batch)


@given(batches())
def test_identities_ascend_strictly(batch: Batch) -> None:
    """Counting ticks within a millisecond makes every identity its own."""
    found = identities(batch)
    assert all(before < after for before, after in itertools.pairwise(found))
    assert found[0] > BEFORE_FIRST


def test_ordinals_count_within_a_millisecond() -> None:
    """They begin at 0 with each new millisecond."""
    assert ordinals(np.array([5, 5, 5, 6, 9, 9])).tolist() == [0, 1, 2, 0, 0, 1]


@given(batches())
def test_a_joined_batch_is_as_fresh_as_its_newest_part(batch: Batch) -> None:
    """The last part's reading time stands for all."""
    pieces = list(batch.chunks(10))
    newer = [replace(piece, read_unix_ns=index) for index, piece in enumerate(pieces)]
    assert Batch.join(newer).read_unix_ns == len(pieces) - 1
