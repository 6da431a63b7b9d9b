"""What a lane says of its symbols, without a stream."""

from typing import Any

import pytest
from structlog.testing import capture_logs
from suho.market.v1 import bridge_pb2 as pb
from suho.market.v1 import tick_pb2

from mesh.market import BEFORE_FIRST, TickId
from pc_agent.domain.symbol_feed import WINDOW_TICKS, Reading, SymbolFeed
from pc_agent.domain.tick_cursor import Anchor
from pc_agent.terminal.messages import CloseSymbol, Credit
from pc_agent.ticks import lane_symbols
from pc_agent.ticks.lane_symbols import LANE_TICKS, MESSAGE_TICKS, MESSAGES_UNDER_WAY, LaneSymbols
from tests.unit.pc_agent.domain.test_symbol_feed import JANUARY_END, ticks

CURSOR = TickId(JANUARY_END, 0)


class Terminal:
    """Is told what to read; `credit` says how much of each symbol it may read."""

    def __init__(self) -> None:
        self.commands: list[Any] = []
        self.credit: dict[str, int] = {}

    def send(self, _: str, command: Any) -> None:
        self.commands.append(command)
        if isinstance(command, Reading):
            self.credit[command.symbol] = command.credit
        elif isinstance(command, Credit):
            self.credit[command.symbol] += command.ticks
        elif isinstance(command, CloseSymbol):
            self.credit.pop(command.symbol, None)


class Lane:
    """A lane's symbols, opened, and the answers of a bridge."""

    def __init__(self, *names: str) -> None:
        self.terminal = Terminal()
        terminal: Any = self.terminal
        self.symbols = LaneSymbols(1, terminal)
        self.feeds = {name: SymbolFeed("s", name, "a") for name in names}
        for feed in self.feeds.values():
            self.symbols.add(feed)
        self.symbols.open_all()
        self.symbols.request()

    def welcome(self, name: str, cursor: TickId = CURSOR, bid: float = 1.1, ask: float = 1.2) -> None:
        welcome = pb.Welcome(symbol=ref(name), last=cursor._asdict(), bid=bid, ask=ask)
        self.symbols.take(pb.StreamTicksResponse(welcome=[welcome]))

    def acknowledge(self, name: str, last: TickId) -> None:
        self.symbols.take(pb.StreamTicksResponse(acks=[pb.TickAck(symbol=ref(name), last=last._asdict())]))

    def stand_by(self, name: str) -> None:
        self.symbols.take(pb.StreamTicksResponse(stand_by=[pb.StandBy(symbol=ref(name), holder="other")]))

    def read(self, name: str, count: int) -> None:
        """The worker reads so many ticks."""
        self.terminal.credit[name] -= count
        assert self.terminal.credit[name] >= 0
        self.feeds[name].offer(ticks(self.feeds[name], count, self.feeds[name].read_last.time_msc + 1))

    def write(self) -> pb.StreamTicksRequestTwin | None:
        request = self.symbols.request()
        if request is not None:
            self.symbols.written(request)
        return request


def ref(name: str) -> tick_pb2.SymbolRef:
    return tick_pb2.SymbolRef(server="s", symbol=name)


def test_a_symbol_leaves_when_what_it_sent_is_acknowledged() -> None:
    """Reading ends at once; then its count, then its close, then it is gone; nothing that was not sent is."""
    lane = Lane("EURUSD", "GBPUSD")
    lane.welcome("EURUSD")
    lane.welcome("GBPUSD")
    lane.read("EURUSD", MESSAGE_TICKS + 10)
    first = lane.write()
    assert first
    lane.symbols.leave(("s", "EURUSD"), at_once=False)
    assert "EURUSD" not in lane.terminal.credit
    assert lane.write() is None
    assert lane.symbols.holds(("s", "EURUSD"))
    lane.acknowledge("EURUSD", TickId(JANUARY_END + MESSAGE_TICKS, 0))
    count, close = lane.write(), lane.write()
    assert count
    assert not count.close
    assert [(one.symbol.symbol, one.count) for one in count.counts] == [("EURUSD", MESSAGE_TICKS)]
    assert close
    assert [one.symbol for one in close.close] == ["EURUSD"]
    assert not lane.symbols.holds(("s", "EURUSD"))
    assert lane.symbols.holds(("s", "GBPUSD"))
    assert lane.symbols.ready


@pytest.mark.parametrize("answer", ["out of sync", "stand by", "broken", "welcome"])
def test_a_leaving_symbol_goes_whatever_the_bridge_says(answer: str) -> None:
    """What it sent may turn out to be void; it is never read or sent here again."""
    lane = Lane("EURUSD")
    lane.welcome("EURUSD")
    lane.read("EURUSD", 100)
    assert lane.write()
    lane.symbols.leave(("s", "EURUSD"), at_once=False)
    if answer == "out of sync":
        lost = pb.OutOfSync(symbol=ref("EURUSD"), cursor=CURSOR._asdict())
        lane.symbols.take(pb.StreamTicksResponse(out_of_sync=[lost]))
    elif answer == "stand by":
        lane.stand_by("EURUSD")
    elif answer == "broken":
        lane.symbols.interrupt()
    else:
        lane.welcome("EURUSD")
        lane.acknowledge("EURUSD", lane.feeds["EURUSD"].sent_last)
    while (request := lane.write()) is not None:
        assert not request.batches
    assert not lane.symbols.holds(("s", "EURUSD"))
    assert "EURUSD" not in lane.terminal.credit


def test_where_no_stream_stands_a_symbol_leaves_at_once() -> None:
    """Nothing can be acknowledged or closed there."""
    lane = Lane("EURUSD")
    lane.welcome("EURUSD")
    lane.read("EURUSD", 100)
    lane.write()
    lane.symbols.leave(("s", "EURUSD"), at_once=True)
    assert not lane.symbols.holds(("s", "EURUSD"))
    assert lane.feeds["EURUSD"].held == 0


def test_a_symbol_that_was_not_opened_yet_leaves_unsaid() -> None:
    """The bridge never heard of it."""
    lane = Lane()
    lane.symbols.add(SymbolFeed("s", "EURUSD", "a"))
    lane.symbols.leave(("s", "EURUSD"), at_once=False)
    assert not lane.symbols.holds(("s", "EURUSD"))
    assert lane.write() is None


def test_a_symbol_that_another_agent_streams_stands_by() -> None:
    """It is neither read nor sent, is as it should be, and that is said once; its welcome starts it."""
    lane = Lane("EURUSD")
    lane.welcome("EURUSD")
    lane.read("EURUSD", 500)
    lane.write()
    with capture_logs() as logs:
        lane.stand_by("EURUSD")
        assert lane.symbols.ready
        assert "EURUSD" not in lane.terminal.credit
        assert lane.write() is None
        assert lane.symbols.stalled_s() == 0.0  # what was under way is not awaited
        lane.symbols.interrupt()
        assert not lane.symbols.ready
        lane.stand_by("EURUSD")
        assert lane.symbols.ready
    assert [(log["symbol"], log["holder"]) for log in logs] == [("EURUSD", "other")]
    lane.welcome("EURUSD", TickId(JANUARY_END + 900, 0))
    lane.read("EURUSD", 3)
    request = lane.write()
    assert request
    assert request.batches[0].prev.time_msc == JANUARY_END + 900


def test_a_history_that_differs_is_told() -> None:
    """With what stands there; what agrees, or was not compared, is not."""
    lane = Lane("EURUSD", "GBPUSD", "USDJPY", "XAUUSD")
    for name in ("EURUSD", "GBPUSD", "USDJPY"):
        lane.welcome(name)
    lane.welcome("XAUUSD", bid=0.0, ask=0.0)  # behind refused ticks the bridge knows no quote
    with capture_logs() as logs:
        lane.symbols.history_found(("s", "EURUSD"), Anchor(True, 1.1, 1.2))
        lane.symbols.history_found(("s", "EURUSD"), Anchor(True, 1.3, 1.4))  # a new worker reads on from elsewhere
        lane.symbols.history_found(("s", "GBPUSD"), Anchor(True, 1.3, 1.4))
        lane.symbols.history_found(("s", "USDJPY"), Anchor(False, 0.0, 0.0))
        lane.symbols.history_found(("s", "XAUUSD"), Anchor(True, 1.1, 1.2))
    assert [log["symbol"] for log in logs] == ["GBPUSD", "USDJPY"]
    request = lane.write()
    assert request
    told = [(one.symbol.symbol, one.at.time_msc, one.bid, one.ask) for one in request.changed]
    assert told == [("GBPUSD", JANUARY_END, 1.3, 1.4), ("USDJPY", JANUARY_END, 0.0, 0.0)]
    assert lane.write() is None


def test_every_symbol_is_counted_from_time_to_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """From its welcome to what is acknowledged; one that read nothing since is not."""
    monkeypatch.setattr(lane_symbols, "COUNT_S", 0.0)
    lane = Lane("EURUSD", "GBPUSD")
    lane.welcome("EURUSD")
    lane.welcome("GBPUSD")
    lane.read("EURUSD", 70)
    sent = lane.write()
    assert sent
    assert not sent.counts
    lane.acknowledge("EURUSD", TickId(JANUARY_END + 70, 0))
    request = lane.write()
    assert request
    count = request.counts[0]
    assert (count.symbol.symbol, count.after.time_msc, count.until.time_msc, count.count) == (
        "EURUSD", JANUARY_END, JANUARY_END + 70, 70,
    )  # fmt: skip
    assert len(request.counts) == 1
    assert lane.write() is None


@pytest.mark.parametrize("symbols", [1, 20, 300])
def test_what_a_lane_holds_is_bounded(symbols: int) -> None:
    """A bridge that acknowledges nothing: a symbol holds its share of the lane, and eight messages are under way."""
    lane = Lane(*(f"S{n}" for n in range(symbols)))
    for name in lane.feeds:
        lane.welcome(name, BEFORE_FIRST)
    for name, credit in list(lane.terminal.credit.items()):
        lane.read(name, credit)
    messages = []
    while (request := lane.write()) is not None:
        messages.append(sum(batch.count for batch in request.batches))
    assert messages == [MESSAGE_TICKS] * MESSAGES_UNDER_WAY
    held = [feed.held for feed in lane.feeds.values()]
    assert max(held) <= WINDOW_TICKS
    assert sum(held) <= max(LANE_TICKS, MESSAGE_TICKS * symbols)
