"""Who streams a symbol: the contest between bridges over a store with compare-and-set."""

from collections import deque

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from services.data_bridge.domain.sources import NOBODY, Contest, Lease, Write

BRIDGES = ("b1", "b2", "b3")
AGENTS = ("pc-1", "pc-2", "pc-3")
bridges = st.sampled_from(BRIDGES)
agents = st.sampled_from(AGENTS)


def test_a_free_lease_is_taken_in_turn() -> None:
    """Who opened first is first; the second waits, and is next."""
    contest = Contest("b1", NOBODY)
    contest.opened("pc-1")
    contest.opened("pc-2")
    assert contest.wanted({"b1"}) == Write("pc-1", "b1", 0)
    contest.heard(Lease("pc-1", "b1", 4))
    assert contest.wanted({"b1"}) is None
    assert (contest.streaming, contest.waiting) == ("pc-1", ["pc-2"])
    contest.closed("pc-1")
    assert contest.wanted({"b1"}) == Write("pc-2", "b1", 4)
    contest.closed("pc-2")
    assert contest.wanted({"b1"}) == Write("", "", 4)


def test_a_lease_elsewhere_is_respected_while_that_bridge_lives() -> None:
    """Another agent's lease is taken when its bridge died; its own an agent takes along once."""
    contest = Contest("b1", Lease("pc-1", "b2", 7))
    contest.opened("pc-2")
    assert contest.wanted({"b1", "b2"}) is None
    assert contest.wanted({"b1"}) == Write("pc-2", "b1", 7)
    contest.opened("pc-1")
    assert contest.wanted({"b1", "b2"}) == Write("pc-1", "b1", 7)
    contest.heard(Lease("pc-1", "b1", 8))
    contest.heard(Lease("pc-1", "b2", 9))
    assert contest.wanted({"b1", "b2"}) is None


class Contests(RuleBasedStateMachine):
    """Three bridges; what happens in the store each hears later, in order; bridges die and come back as others."""

    def __init__(self) -> None:
        super().__init__()
        self.lease = NOBODY
        self.alive = set(BRIDGES)
        self.contests = {bridge: Contest(bridge, NOBODY) for bridge in BRIDGES}
        self.unheard: dict[str, deque[Lease]] = {bridge: deque() for bridge in BRIDGES}
        self.open: set[tuple[str, str]] = set()

    @rule(bridge=bridges, agent=agents)
    def opens(self, bridge: str, agent: str) -> None:
        if bridge in self.alive:
            self.contests[bridge].opened(agent)
            self.open.add((bridge, agent))

    @rule(bridge=bridges, agent=agents)
    def leaves(self, bridge: str, agent: str) -> None:
        self.contests[bridge].closed(agent)
        self.open.discard((bridge, agent))

    @precondition(lambda self: len(self.alive) > 1)
    @rule(bridge=bridges)
    def dies(self, bridge: str) -> None:
        self.alive.discard(bridge)
        self.open = {one for one in self.open if one[0] != bridge}

    @rule(bridge=bridges)
    def hears(self, bridge: str) -> None:
        if self.unheard[bridge]:
            self.contests[bridge].heard(self.unheard[bridge].popleft())

    @rule(bridge=bridges)
    def writes(self, bridge: str) -> None:
        self.written(bridge)

    def written(self, bridge: str) -> bool:
        """By compare-and-set, on what it knows."""
        write = self.contests[bridge].wanted(self.alive) if bridge in self.alive else None
        if write is None or write.expected != self.lease.revision:
            return False
        before = self.lease
        self.lease = Lease(write.agent, write.bridge, before.revision + 1)
        assert before.bridge not in self.alive or before.bridge == bridge or before.agent == write.agent
        for heard in self.unheard.values():
            heard.append(self.lease)
        return True

    @invariant()
    def at_most_one_lives_by_the_lease(self) -> None:
        known = [self.contests[bridge] for bridge in self.alive if not self.unheard[bridge]]
        assert len([contest for contest in known if contest.streaming]) <= 1

    @rule()
    def settles(self) -> None:
        """When all is heard and nobody wants to write, somebody streams if anybody can."""
        for _ in range(20):
            for bridge in BRIDGES:
                while self.unheard[bridge]:
                    self.hears(bridge)
            wrote = [self.written(bridge) for bridge in BRIDGES]
            if not any(wrote):
                break
        else:
            raise AssertionError("the bridges do not come to rest")
        assert ((self.lease.bridge, self.lease.agent) in self.open) == bool(self.open)


TestContests = Contests.TestCase
TestContests.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
