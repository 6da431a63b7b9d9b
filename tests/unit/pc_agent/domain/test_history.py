"""Questions about a terminal's history."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.market import TickId
from mesh.market.batch import COLUMNS, ordinals
from mesh.market.digest import digests
from pc_agent.domain.history import MOST_DIGESTS, Asked, DigestSum, Question, before, touched_digests

HOUR = 3_600_000
FROM = 1_580_511_600_000


def asked(question: Question | None, from_msc: int = FROM, to_msc: int = FROM + HOUR, bucket_ms: int = HOUR) -> Asked:
    return Asked(1, "EURUSD", question, from_msc, to_msc, bucket_ms)


@pytest.mark.parametrize(
    ("question", "words"),
    [
        (asked(None), "DIGEST, RESEND and POSITION"),
        (asked(Question.RESEND, FROM, FROM), "before its end"),
        (asked(Question.RESEND, -1000, FROM), "begin at 0"),
        (asked(Question.RESEND, FROM + 1), "whole seconds"),
        (asked(Question.DIGEST, FROM, FROM + HOUR + 500), "whole seconds"),
        (asked(Question.DIGEST, bucket_ms=0), "bucket_ms"),
        (asked(Question.DIGEST, bucket_ms=7), "bucket_ms"),
        (asked(Question.DIGEST, FROM, FROM + (MOST_DIGESTS + 1) * 1000, 1000), "at most"),
    ],
)
def test_what_can_not_be_answered_is_refused_with_what_is_wrong(question: Asked, words: str) -> None:
    """Ranges are of whole seconds, digests of a bounded number."""
    assert words in question.fault()


def test_what_can_be_answered_has_no_fault() -> None:
    """A position needs no range."""
    assert not asked(Question.DIGEST).fault()
    assert not asked(Question.DIGEST, FROM, FROM + MOST_DIGESTS * 1000, 1000).fault()
    assert not asked(Question.RESEND, 0, 1000, 0).fault()
    assert not asked(Question.POSITION, 0, 0, 0).fault()


@pytest.mark.parametrize("msc", [0, 1, FROM])
def test_reading_begins_with_the_first_tick_of_a_millisecond(msc: int) -> None:
    """No tick that has a time stands between."""
    assert before(msc) < TickId(max(msc, 1), 0)
    assert before(msc) >= TickId(max(0, msc - 1), 0)


@given(st.lists(st.sampled_from([0, 0, 1, 50, 999, 70_000]), min_size=1, max_size=60), st.data())
def test_pages_add_up_to_the_digests_of_the_whole(gaps: list[int], data: st.DataObject) -> None:
    """However a range is cut into pages, its digests are those of all its ticks."""
    time_msc = FROM + np.cumsum(gaps)
    bid = np.arange(len(gaps), dtype="f8")
    columns = {name: np.zeros(len(gaps), dtype) for name, dtype in COLUMNS.items()}
    columns |= {"time_msc": time_msc, "ordinal": ordinals(time_msc), "bid": bid}
    question = asked(Question.DIGEST, FROM, FROM + 2 * HOUR, 60_000)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(gaps)), max_size=5)))
    total = DigestSum(question)
    for start, stop in zip([0, *cuts], [*cuts, len(gaps)], strict=True):
        page = {name: column[start:stop] for name, column in columns.items()}
        total.add(touched_digests(page, FROM, 60_000))
    assert total.digests() == digests(columns, FROM, FROM + 2 * HOUR, 60_000)
