"""What a hub makes of another one's answers, and of none."""

from typing import Any

import nats.errors
import pytest
from suho.hub.v1 import store_pb2 as pb

from hub.domain.peers import PresenceTerms
from hub.presence import NatsPresence
from mesh.config import SettingsError


class Bus:
    """A connection on which every question is answered the same."""

    def __init__(self, answer: Exception | bytes, *, is_connected: bool = True) -> None:
        self.is_connected = is_connected
        self._answer = answer

    async def request(self, *_: object, **__: object) -> Any:
        if isinstance(self._answer, Exception):
            raise self._answer
        return self

    @property
    def data(self) -> object:
        return self._answer


@pytest.mark.parametrize(
    ("bus", "stands"),
    [
        (Bus(pb.LeaseAnswer(process="other", stands=True).SerializeToString()), True),
        (Bus(pb.LeaseAnswer(process="other").SerializeToString()), False),
        (Bus(nats.errors.NoRespondersError()), False),
        (Bus(nats.errors.TimeoutError()), True),
        (Bus(nats.errors.TimeoutError(), is_connected=False), False),
    ],
)
async def test_a_hub_that_is_there_and_too_busy_to_answer_keeps_its_leases(bus: Any, stands: bool) -> None:
    """Only its word, or that it is not there, frees an id."""

    async def leads() -> None: ...

    made = NatsPresence(bus, "hub-1", "process-1", leads, PresenceTerms(), 1.0)
    assert await made.stream_stands("hub-2", "echo-1") is stands


async def test_another_process_under_this_hubs_id_is_one_that_says_so() -> None:
    """Silence is none; an answer is."""

    async def leads() -> None: ...

    def hub(answer: Exception | bytes) -> NatsPresence:
        bus: Any = Bus(answer)
        return NatsPresence(bus, "hub-1", "process-1", leads, PresenceTerms(), 1.0)

    await hub(nats.errors.NoRespondersError()).claim_id()
    await hub(nats.errors.TimeoutError()).claim_id()
    await hub(pb.LeaseAnswer(process="process-1").SerializeToString()).claim_id()
    with pytest.raises(SettingsError, match="hub-1"):
        await hub(pb.LeaseAnswer(process="other").SerializeToString()).claim_id()
