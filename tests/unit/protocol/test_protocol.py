"""The invariants of docs/protocol.md, under everything that can happen between the programs."""

import random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.unit.protocol.model import Agent, Bridge, Log, Publish, Sink, Stream, Table, Terminal

TROUBLES = (
    "nothing",
    "the_agent_opens_a_stream",
    "a_bridge_dies",
    "a_bridge_gives_up_waiting",
    "a_publish_is_lost",
    "the_agent_dies",
    "the_sink_dies",
    "a_paused_sink_writes_late",
    "the_log_is_purged",
    "the_log_loses_its_newest",
)


class TickPath(RuleBasedStateMachine):
    """One symbol, one agent at a time, two bridges, one log, sinks one after another."""

    def __init__(self) -> None:
        super().__init__()
        self.terminal = Terminal()
        self.agent = Agent(self.terminal)
        self.log = Log()
        self.bridges = [Bridge(self.log), Bridge(self.log)]
        self.table = Table()
        self.sink = Sink(self.log, self.table)
        self.streams: list[Stream] = []
        self.under_way: list[Publish] = []
        self.late_inserts = 0

    @initialize(seed=st.integers(0, 2**32))
    def it_begins(self, seed: int) -> None:
        self.the_agent_opens_a_stream(seed)
        self._work_for_a_while(random.Random(seed), 60)

    @rule(trouble=st.sampled_from(TROUBLES), seed=st.integers(0, 2**32), steps=st.integers(5, 80))
    def something_happens_and_all_work_on(self, trouble: str, seed: int, steps: int) -> None:
        getattr(self, trouble)(seed)
        self._work_for_a_while(random.Random(seed), steps)

    # What is meant to happen.

    def _work_for_a_while(self, chance: random.Random, steps: int) -> None:
        """Each in turn, in any order: what is on a wire arrives when it arrives, lanes overtake each other."""
        for _ in range(steps):
            if chance.random() < 0.1:
                self.terminal.happen(chance.choice((0, 0, 1, 400, 1500)), chance.randrange(1, 4))
            self._step(chance.choice("hhrrsaabbbttto"), chance.randrange(12))

    def _step(self, step: str, which: int) -> None:
        stream = self.agent.stream
        arriving = [one for one in self.streams if one.up and one.alive]
        match step:
            case "h" if stream and stream.alive and stream.down:
                self.agent.hear()
            case "r":
                self.agent.read()
            case "s":
                self.agent.send()
            case "a" if arriving:
                self._arrive(arriving[which % len(arriving)])
            case "b":
                self._work(self.bridges[which % 2])
            case "t" if self.under_way:
                self._take(which, heard=which % 3 > 0)
            case "o":
                self.sink.store_some(1 + which % 4)

    def _take(self, which: int, heard: bool) -> None:
        """The log takes a publish or refuses it; its bridge hears, does not hear, or has died meanwhile."""
        publish = self.under_way.pop(which % len(self.under_way))
        taken = self.log.append(publish.batch, publish.expected_seq)
        if publish.waits:
            if taken and heard:
                publish.bridge.confirmed(publish)
            else:
                publish.bridge.refused_or_unknown()

    # What is not. `which` chooses among several, whatever its size.

    def nothing(self, which: int) -> None:
        """May happen too."""

    def the_agent_opens_a_stream(self, which: int) -> None:
        """After a break, or because it moves; what is on the old stream may still arrive."""
        stream = Stream(self.bridges[which % 2])
        self.streams = [*self.streams[-3:], stream]
        self.agent.open(stream)

    def a_bridge_dies(self, which: int) -> None:
        """Its publishes are still on the way; the agent opens a stream at the other."""
        dead = self.bridges[which % 2]
        dead.crash()
        for stream in self.streams:
            stream.alive &= stream.bridge is not dead
        self.the_agent_opens_a_stream(which + 1)

    def a_bridge_gives_up_waiting(self, which: int) -> None:
        """It reads the log again, while the publish that it gave up may still arrive."""
        if self.under_way and (publish := self.under_way[which % len(self.under_way)]).waits:
            publish.bridge.refused_or_unknown()

    def a_publish_is_lost(self, which: int) -> None:
        if self.under_way:
            publish = self.under_way.pop(which % len(self.under_way))
            if publish.waits:
                publish.bridge.refused_or_unknown()

    def the_agent_dies(self, which: int) -> None:
        if self.agent.stream:
            self.agent.stream.alive = False
        self.agent.crash()
        self.the_agent_opens_a_stream(which)

    def the_sink_dies(self, which: int) -> None:
        self.sink = Sink(self.log, self.table)

    def a_paused_sink_writes_late(self, which: int) -> None:
        """What it had under way when its successor began."""
        if self.sink.last_insert:
            self.table.insert(*self.sink.last_insert)
            self.late_inserts += 1

    def the_log_is_purged(self, which: int) -> None:
        if self.sink.position and self.sink.position.epoch == self.log.epoch.number:
            self.log.purge(self.sink.position.seq)

    def the_log_loses_its_newest(self, which: int) -> None:
        """With NATS everybody who spoke to it starts again."""
        self.log.lose_newest(1 + which % 3)
        self.the_sink_dies(which)
        self.under_way.clear()
        for bridge in (0, 1):
            self.a_bridge_dies(bridge)

    # What is always true.

    @invariant()
    def the_log_is_a_chain(self) -> None:
        """1: each message begins where the one before it ends, and within it identities ascend."""
        for before, after in zip(self.log.messages, self.log.messages[1:], strict=False):
            assert after.batch.prev == before.batch.last_id
        for message in self.log.messages:
            ids = [message.batch.prev, *(message.batch.id_at(at) for at in range(len(message.batch)))]
            assert ids == sorted(set(ids))

    @invariant()
    def every_row_is_a_tick_of_the_terminal(self) -> None:
        """2 and 5: nothing is invented, no identity has two values, and only a late insert comes twice."""
        known = self.terminal.values()
        assert all(known[tick] == bid for tick, bid in self.table.rows)
        assert len({tick for tick, _ in self.table.rows}) == len(self.table.rows)

    @invariant()
    def what_was_acknowledged_is_in_the_log(self) -> None:
        """3: unless the log itself lost it, of which the agent hears at the next welcome."""
        if self.agent.stream and self.agent.stream.alive and self.agent.feed.welcomed:
            assert self.agent.feed.acknowledged_last <= self.log.end()

    def teardown(self) -> None:
        """In quiet everything arrives: stored, distinct, is what the terminal has."""
        self.the_sink_dies(0)
        self.the_agent_opens_a_stream(0)
        while self._one_quiet_round():
            pass
        assert dict(self.table.rows.keys()) == self.terminal.values()
        assert not self.sink.gaps

    def _one_quiet_round(self) -> bool:
        busy = False
        while self.under_way:
            busy = True
            self._take(0, heard=True)
        for bridge in self.bridges:
            busy |= self._work(bridge)
        stream = self.agent.stream
        assert stream
        while stream.down:
            busy = True
            self.agent.hear()
        busy |= self.agent.read()
        while self.agent.send() or stream.up:
            busy = True
            self._arrive(stream)
        return self.sink.store_some(3) or busy

    def _arrive(self, stream: Stream) -> None:
        stream.bridge.waiting.append((stream, stream.up.popleft()))

    def _work(self, bridge: Bridge) -> bool:
        if bridge.publish is not None or not bridge.waiting:
            return False
        if publish := bridge.advance():
            self.under_way.append(publish)
        return True


TickPath.TestCase.settings = settings(max_examples=50, stateful_step_count=20, deadline=None)
TestTickPath = TickPath.TestCase
