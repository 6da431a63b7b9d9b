"""Several sources that have the same symbols."""

from typing import Any

from pc_agent.terminal.messages import CloseSymbol, Credit, TicksRead
from pc_agent.ticks.sources import SourceListener, TickSources


class Source:
    """Terminals of one account."""

    def __init__(self, name: str, server: str, *symbols: str) -> None:
        self.name, self.server = name, server
        self.connected = True
        self.newest_msc = dict.fromkeys(symbols, 7)
        self.commands: list[Any] = []

    def listen(self, listener: SourceListener) -> None:
        self.listener = listener

    def send(self, command: Any) -> None:
        self.commands.append(command)


class Lanes:
    """Hears what is to be carried."""

    def __init__(self) -> None:
        self.carried: dict[tuple[str, str], int] = {}
        self.anew: list[tuple[str, str]] = []
        self.ticks: list[tuple[str, str]] = []

    def carry(self, newest_msc: Any) -> None:
        self.carried = dict(newest_msc)

    def read_anew(self, places: Any) -> None:
        self.anew += places

    def ticks_read(self, server: str, ticks: TicksRead) -> None:
        self.ticks.append((server, ticks.symbol))


def joined(*sources: Source) -> tuple[TickSources, Lanes]:
    given: Any = sources
    lanes: Any = Lanes()
    together = TickSources(given)
    together.listener = lanes
    for source in sources:
        together.source_changed(source)  # type: ignore[arg-type]
    return together, lanes


def test_symbols_of_every_server_are_carried_each_once() -> None:
    """Two accounts at one server: one is read, the other stands by."""
    demo, real, other = (
        Source("demo", "a", "EURUSD", "XAUUSD"),
        Source("real", "a", "EURUSD"),
        Source("o", "b", "EURUSD"),
    )
    together, lanes = joined(demo, real, other)
    assert lanes.carried.keys() == {("a", "EURUSD"), ("a", "XAUUSD"), ("b", "EURUSD")}
    for server in ("a", "b"):
        together.send(server, Credit("EURUSD", 5))
    assert [len(source.commands) for source in (demo, real, other)] == [1, 0, 1]
    tick: Any = TicksRead("EURUSD", 1, 0, {})
    for source in (demo, real, other):
        together.ticks_read(source, tick)  # type: ignore[arg-type]
    assert lanes.ticks == [("a", "EURUSD"), ("b", "EURUSD")]


def test_who_stands_by_takes_over_and_keeps_it() -> None:
    """The symbol is read anew there, and not again when the first one is back."""
    demo, real = Source("demo", "a", "EURUSD", "XAUUSD"), Source("real", "a", "EURUSD")
    together, lanes = joined(demo, real)
    demo.connected = False
    together.source_changed(demo)  # type: ignore[arg-type]
    assert lanes.anew == [("a", "EURUSD")]
    assert demo.commands == [CloseSymbol("EURUSD")]
    assert lanes.carried.keys() == {("a", "EURUSD"), ("a", "XAUUSD")}  # nobody else has gold: it waits
    demo.connected = True
    together.source_changed(demo)  # type: ignore[arg-type]
    together.readers_lost(demo, ["EURUSD", "XAUUSD"])  # type: ignore[arg-type]
    assert lanes.anew == [("a", "EURUSD"), ("a", "XAUUSD")]
    together.send("a", Credit("EURUSD", 5))
    assert real.commands == [Credit("EURUSD", 5)]


def test_what_a_source_hides_another_shows() -> None:
    """It goes only when nobody has it."""
    demo, real = Source("demo", "a", "EURUSD"), Source("real", "a", "EURUSD")
    together, lanes = joined(demo, real)
    demo.newest_msc = {}
    together.source_changed(demo)  # type: ignore[arg-type]
    assert lanes.anew == [("a", "EURUSD")]
    real.newest_msc = {}
    together.source_changed(real)  # type: ignore[arg-type]
    assert lanes.carried == {}
