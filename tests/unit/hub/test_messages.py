"""Entries and keys of the shared store as bytes and subjects."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from suho.hub.v1 import registry_pb2 as pb

from hub.domain.admission import AdmissionError
from hub.domain.state import Entry, Key, key_of
from hub.messages.entries import UnreadableError, entry_from, entry_to
from hub.messages.instances import instance_from
from hub.messages.keys import key_from, key_to
from tests.support.entries import EVERY_KIND

_ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=1_024)


@pytest.mark.parametrize("entry", EVERY_KIND, ids=lambda entry: type(entry).__name__)
def test_an_entry_comes_back_as_it_was(entry: Entry) -> None:
    """And is the same bytes each time, so that a write can be known as one's own."""
    assert entry_from(key_of(entry).kind, entry_to(entry)) == entry
    assert entry_to(entry_from(key_of(entry).kind, entry_to(entry))) == entry_to(entry)


@pytest.mark.parametrize(
    ("kind", "data"), [("instance", b"\xff"), ("instance", b""), ("drain", b""), ("lease", b""), ("policy", b"\x08")]
)
def test_what_no_hub_wrote_is_said_to_be_unreadable(kind: str, data: bytes) -> None:
    """Garbage, and kinds that a newer hub may know."""
    with pytest.raises(UnreadableError):
        entry_from(kind, data)


@given(_ANY_TEXT, _ANY_TEXT)
def test_any_name_is_a_safe_and_distinct_subject(one: str, other: str) -> None:
    """Two tokens, short enough for NATS; read back, where need be with the name beside it."""
    key = Key("drain", one)
    subject = key_to(key)
    assert re.fullmatch(r"drain\.[A-Za-z0-9_=-]{1,1024}", subject)
    assert key_from(subject, one) == key
    assert key_from(subject) in (key, None)
    assert (key_to(Key("drain", other)) == subject) == (one == other)


@pytest.mark.parametrize("subject", ["sounding", "lease.a", "", "."])
def test_other_subjects_are_no_keys(subject: str) -> None:
    """They are passed over."""
    assert key_from(subject) is None


def test_a_probe_without_a_kind_is_refused() -> None:
    """Left out altogether it means the default; half said it means nothing."""
    said = pb.Instance(id="a-1", service="a", status=pb.INSTANCE_STATUS_UP)
    assert instance_from(said).probe is None
    said.probe.path = "/ping"
    with pytest.raises(AdmissionError, match="leave the probe out"):
        instance_from(said)
