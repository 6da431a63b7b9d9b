"""Who may hold an instance id."""

import pytest

from hub.domain.instance import Instance
from hub.domain.lease import IdTakenError, Lease, broken, expired, hear, report, take
from hub.domain.status import Status

INSTANCE = Instance("echo-1", "echo", status=Status.UP)


def held(token: str = "first", stream: int = 1) -> Lease:
    return take(None, INSTANCE, token, stream, now=0.0)


def test_the_same_process_takes_its_session_up_again() -> None:
    """The token says that it is the same."""
    assert take(held(), INSTANCE, "first", 2, now=1.0).stream == 2


def test_another_process_is_refused_while_the_holder_lives() -> None:
    """Two living processes are never one instance."""
    with pytest.raises(IdTakenError, match="living process"):
        take(held(), INSTANCE, "second", 2, now=1.0)


@pytest.mark.parametrize("gone", [broken(held(), 1.0), expired(held(), 1.0, "silent", silent=True)])
def test_a_successor_is_let_in_once_the_holder_is_gone(gone: Lease) -> None:
    """Its stream broke, or it was silent for too long."""
    successor = take(gone, INSTANCE, "second", 2, now=2.0)
    assert (successor.token, successor.living) == ("second", True)


def test_a_sign_of_life_restores_what_the_instance_last_said() -> None:
    """Expired in silence while DRAINING: DRAINING again."""
    draining = report(held(), Status.DRAINING, "stopping", 1.0)
    revived = hear(expired(draining, 20.0, "silent", silent=True, kept_endpoint=True), 21.0)
    assert (revived.instance.status, revived.instance.status_reason) == (Status.DRAINING, "stopping")
    assert revived.living
    assert not revived.instance.kept_endpoint
